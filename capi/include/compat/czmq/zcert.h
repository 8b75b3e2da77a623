/* zcert. Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_ZCERT_H
#define IRONHOUSE_COMPAT_CZMQ_ZCERT_H

struct czmq2_meta {
  char *name, *value;
  struct czmq2_meta *next;
};

struct czmq2_cert {
  ironhouse_certificate_t *certificate;
  /* Zeros, where there is no secret key. */
  char public_txt[IRONHOUSE_KEY_SIZE], secret_txt[IRONHOUSE_KEY_SIZE];
  byte public_key[32], secret_key[32];
  struct czmq2_meta *meta;
};

/* Destroys a certificate in memory; its secret key is wiped. */
static inline void zcert_destroy(zcert_t **self_p)
{
  if (!self_p || !*self_p)
    return;
  zcert_t *self = *self_p;
  while (self->meta) {
    struct czmq2_meta *meta = self->meta;
    self->meta = meta->next;
    free(meta->name);
    free(meta->value);
    free(meta);
  }
  ironhouse_certificate_destroy(&self->certificate);
  ironhouse_wipe((uint8_t *) self, sizeof *self);
  free(self);
  *self_p = NULL;
}

static inline void czmq2_cert_keep_meta(void *user_data, const char *name, const char *value)
{
  struct czmq2_meta **place = &((zcert_t *) user_data)->meta;
  while (*place && strneq((*place)->name, name))
    place = &(*place)->next;
  if (!*place) {
    *place = (struct czmq2_meta *) czmq2_new(sizeof **place);
    (*place)->name = czmq2_copy(name);
  }
  free((*place)->value);
  (*place)->value = czmq2_copy(value);
}

/* What the program sees of a certificate of ironhouse, which goes to it; NULL, if that is. */
static inline zcert_t *czmq2_cert(const char *call, ironhouse_certificate_t *certificate)
{
  if (!certificate)
    return NULL;
  zcert_t *self = (zcert_t *) czmq2_new(sizeof *self);
  self->certificate = certificate;
  ironhouse_result_t secret = ironhouse_certificate_secret_key(certificate, self->secret_txt);
  if (secret == IRONHOUSE_OK)
    secret = ironhouse_z85_decode(self->secret_txt, IRONHOUSE_NUL, self->secret_key);
  if (secret == IRONHOUSE_NO_SECRET_KEY) {
    memset(self->secret_txt, '0', sizeof self->secret_txt - 1);
    secret = IRONHOUSE_OK;
  }
  if (!czmq2_ok(call, secret) || !czmq2_ok(call, ironhouse_certificate_public_key(certificate, self->public_txt)) ||
      !czmq2_ok(call, ironhouse_z85_decode(self->public_txt, IRONHOUSE_NUL, self->public_key)) ||
      !czmq2_ok(call, ironhouse_certificate_each_meta(certificate, czmq2_cert_keep_meta, self)))
    zcert_destroy(&self);
  return self;
}

/* Makes a certificate with a new key pair; NULL, if there are no random numbers. */
static inline zcert_t *zcert_new(void)
{
  ironhouse_certificate_t *certificate = NULL;
  czmq2_ok("zcert_new", ironhouse_certificate_new(&certificate));
  return czmq2_cert("zcert_new", certificate);
}

static inline bool czmq2_has_secret(const byte *secret_key)
{
  int any = 0;
  for (int i = 0; i < 32; i++)
    any |= secret_key[i];
  return any != 0;
}

/* Makes a certificate of a key pair, 32 bytes each; of a public key alone, where the secret one is zeros. NULL, if they do not belong together. */
static inline zcert_t *zcert_new_from(const byte *public_key, const byte *secret_key)
{
  const char *call = "zcert_new_from";
  ironhouse_certificate_t *certificate = NULL;
  bool secret = czmq2_has_secret(secret_key);
  char text[IRONHOUSE_KEY_SIZE];
  if (czmq2_ok(call, ironhouse_z85_encode(secret ? secret_key : public_key, text)))
    czmq2_ok(call, secret ? ironhouse_certificate_from_secret_key(&certificate, text, IRONHOUSE_NUL)
                          : ironhouse_certificate_from_public_key(&certificate, text, IRONHOUSE_NUL));
  ironhouse_wipe((uint8_t *) text, sizeof text);
  zcert_t *self = czmq2_cert(call, certificate);
  if (self && memcmp(self->public_key, public_key, 32) != 0) {
    czmq2_say('E', call, "the public key does not belong to the secret one");
    zcert_destroy(&self);
  }
  return self;
}

/* The keys: 32 bytes, or 40 characters. They are the certificate's. */
static inline byte *zcert_public_key(zcert_t *self)
{
  return self->public_key;
}

static inline byte *zcert_secret_key(zcert_t *self)
{
  return self->secret_key;
}

static inline char *zcert_public_txt(zcert_t *self)
{
  return self->public_txt;
}

static inline char *zcert_secret_txt(zcert_t *self)
{
  return self->secret_txt;
}

/* Sets a metadata value. Names are letters, digits and `$-_@.&+/`; values are one line of text. */
#define zcert_set_meta(self, name, ...) czmq2_set_meta((self), (name), CZMQ2_TEXT(__VA_ARGS__))
static inline void czmq2_set_meta(zcert_t *self, const char *name, char *value)
{
  if (czmq2_ok("zcert_set_meta", ironhouse_certificate_set_meta(self->certificate, name, IRONHOUSE_NUL, value, IRONHOUSE_NUL)))
    czmq2_cert_keep_meta(self, name, value);
  free(value);
}

/* A metadata value, which is the certificate's; NULL, if there is none of that name. */
static inline char *zcert_meta(zcert_t *self, const char *name)
{
  struct czmq2_meta *meta = self->meta;
  while (meta && strneq(meta->name, name))
    meta = meta->next;
  return meta ? meta->value : NULL;
}

/* The names of the metadata values; the list is the caller's to destroy. */
static inline zlist_t *zcert_meta_keys(zcert_t *self)
{
  zlist_t *keys = (zlist_t *) czmq2_new(sizeof *keys);
  for (const struct czmq2_meta *meta = self->meta; meta; meta = meta->next)
    czmq2_list_append(keys, meta->name);
  return keys;
}

/* Loads a certificate: `filename`_secret, where there is such a file, and otherwise `filename`. NULL, if that cannot be. */
#define zcert_load(...) czmq2_cert_load(CZMQ2_TEXT(__VA_ARGS__))
static inline zcert_t *czmq2_cert_load(char *filename)
{
  ironhouse_certificate_t *certificate = NULL;
  ironhouse_result_t result = ironhouse_certificate_load_secret(&certificate, filename, IRONHOUSE_NUL);
  if (result == IRONHOUSE_IO && ironhouse_last_errno() == ENOENT)
    result = ironhouse_certificate_load(&certificate, filename, IRONHOUSE_NUL);
  if (result == IRONHOUSE_BAD_FILE) {
    /* What zcert_save_secret() wrote has all in it, and is no public certificate. */
    char *reason = czmq2_copy(ironhouse_last_error());
    if (ironhouse_certificate_load_secret_file(&certificate, filename, IRONHOUSE_NUL) != IRONHOUSE_OK)
      czmq2_say('E', "zcert_load", reason);
    free(reason);
  } else {
    czmq2_ok("zcert_load", result);
  }
  free(filename);
  return czmq2_cert("zcert_load", certificate);
}

static inline int czmq2_cert_save(const char *call, char *filename, const zcert_t *self,
                                  ironhouse_result_t (*save)(const ironhouse_certificate_t *, const char *, size_t))
{
  bool ok = czmq2_ok(call, save(self->certificate, filename, IRONHOUSE_NUL));
  free(filename);
  return ok ? 0 : -1;
}

/* Saves a certificate: the public part as `filename`, and all of it as `filename`_secret, for its owner alone. 0, or -1. */
#define zcert_save(self, ...) czmq2_cert_save("zcert_save", CZMQ2_TEXT(__VA_ARGS__), (self), ironhouse_certificate_save)

/* Saves the public part alone. 0, or -1. */
#define zcert_save_public(self, ...)                                                                                   \
  czmq2_cert_save("zcert_save_public", CZMQ2_TEXT(__VA_ARGS__), (self), ironhouse_certificate_save_public)

/* Saves all of it as just this file, for its owner alone. 0, or -1. */
#define zcert_save_secret(self, ...)                                                                                   \
  czmq2_cert_save("zcert_save_secret", CZMQ2_TEXT(__VA_ARGS__), (self), ironhouse_certificate_save_secret_file)

/* Has a socket use the certificate's keys; a public certificate is of no use for that, and its handshakes fail. */
static inline void zcert_apply(zcert_t *self, void *zocket)
{
  czmq2_set_security(zocket, "zcert_apply", ZMQ_CURVE, ZMQ_CURVE_SECRETKEY, self->secret_key, 32);
  czmq2_set_security(zocket, "zcert_apply", ZMQ_CURVE, ZMQ_CURVE_PUBLICKEY, self->public_key, 32);
}

/* A copy; NULL, if there is none to be had. */
static inline zcert_t *zcert_dup(zcert_t *self)
{
  if (!self)
    return NULL;
  zcert_t *copy = zcert_new_from(self->public_key, self->secret_key);
  for (const struct czmq2_meta *meta = self->meta; meta && copy; meta = meta->next)
    zcert_set_meta(copy, meta->name, meta->value);
  int64_t from, to;
  bool disabled;
  if (copy && (!czmq2_ok("zcert_dup", ironhouse_certificate_validity(self->certificate, &from, &to, &disabled)) ||
               !czmq2_ok("zcert_dup", ironhouse_certificate_set_validity(copy->certificate, from, to, disabled))))
    zcert_destroy(&copy);
  return copy;
}

/* Whether two certificates have the same keys. */
static inline bool zcert_eq(zcert_t *self, zcert_t *compare)
{
  int differ = 0;
  for (int i = 0; i < 32; i++)
    differ |= (self->public_key[i] ^ compare->public_key[i]) | (self->secret_key[i] ^ compare->secret_key[i]);
  return differ == 0;
}

/* Prints a certificate, but not its secret key. */
static inline void zcert_fprint(zcert_t *self, FILE *file)
{
  fputs("metadata\n", file);
  for (const struct czmq2_meta *meta = self->meta; meta; meta = meta->next) {
    czmq2_print(file, "    ", meta->name);
    czmq2_print(file, " = \"", meta->value);
    fputs("\"\n", file);
  }
  fprintf(file, "curve\n    public-key = \"%s\"\n", self->public_txt);
  if (czmq2_has_secret(self->secret_key))
    fputs("    secret-key is not shown\n", file);
}

static inline void zcert_print(zcert_t *self)
{
  zcert_fprint(self, stdout);
}

static inline void zcert_dump(zcert_t *self)
{
  zcert_fprint(self, stderr);
}

#endif /* IRONHOUSE_COMPAT_CZMQ_ZCERT_H */
