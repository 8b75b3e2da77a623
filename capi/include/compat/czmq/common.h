/* What the calls have in common: reasons, memory, texts. Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_COMMON_H
#define IRONHOUSE_COMPAT_CZMQ_COMMON_H

static inline void czmq2_say(char kind, const char *call, const char *reason)
{
  fprintf(stderr, "%c: %s: %s\n", kind, call, reason);
}

/* Whether a call of ironhouse succeeded; if not, says why. */
static inline bool czmq2_ok(const char *call, ironhouse_result_t result)
{
  if (result != IRONHOUSE_OK)
    czmq2_say('E', call, ironhouse_last_error());
  return result == IRONHOUSE_OK;
}

/* Ends the program, as CZMQ's assertions do; these cannot be compiled away. */
__attribute__((noreturn)) static inline void czmq2_fail(const char *call, const char *reason)
{
  czmq2_say('E', call, reason);
  abort();
}

/* Memory of zeros. */
static inline void *czmq2_new(size_t size)
{
  void *memory = calloc(1, size);
  if (!memory)
    czmq2_fail("czmq", "out of memory");
  return memory;
}

/* A text as it is, and one made of a format. Both are the caller's to free. */
static inline char *czmq2_copy(const char *text)
{
  char *copy = NULL;
  if (text) {
    size_t size = strlen(text) + 1;
    copy = (char *) czmq2_new(size);
    memcpy(copy, text, size);
  }
  return copy;
}

__attribute__((format(printf, 1, 2))) static inline char *czmq2_format(const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0)
    czmq2_fail("czmq", "a format that cannot be written");
  char *text = (char *) czmq2_new((size_t) length + 1);
  va_start(arguments, format);
  vsnprintf(text, (size_t) length + 1, format, arguments);
  va_end(arguments);
  return text;
}

/* The text of a call that CZMQ 2 has take a format. Early versions do so where later ones take a plain text: without arguments, it is one. */
#define CZMQ2_TEXT(...)                                                                                                \
  CZMQ2_PICK(__VA_ARGS__, czmq2_format, czmq2_format, czmq2_format, czmq2_format, czmq2_format, czmq2_format,          \
             czmq2_format, czmq2_format, czmq2_format, czmq2_format, czmq2_format, czmq2_format, czmq2_format,         \
             czmq2_format, czmq2_format, czmq2_copy, 0)                                                                \
  (__VA_ARGS__)
#define CZMQ2_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, picked, ...) picked

/* A text from elsewhere on a line of ours: it cannot begin another one. */
static inline void czmq2_print(FILE *file, const char *before, const char *text)
{
  fputs(before, file);
  for (; *text; text++)
    fputc(iscntrl((unsigned char) *text) ? '?' : *text, file);
}

#endif /* IRONHOUSE_COMPAT_CZMQ_COMMON_H */
