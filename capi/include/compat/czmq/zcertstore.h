/* zcertstore. Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_ZCERTSTORE_H
#define IRONHOUSE_COMPAT_CZMQ_ZCERTSTORE_H

/* A certificate that the program has or had: lookups answer it again. */
struct czmq2_held {
  zcert_t *cert;
  bool inserted;
  struct czmq2_held *next;
};

struct czmq2_certstore {
  ironhouse_store_t *store;
  char *location;
  struct czmq2_held *held;
};

/* Destroys a store in memory, with the certificates that it answered. */
static inline void zcertstore_destroy(zcertstore_t **self_p)
{
  if (!self_p || !*self_p)
    return;
  zcertstore_t *self = *self_p;
  while (self->held) {
    struct czmq2_held *held = self->held;
    self->held = held->next;
    zcert_destroy(&held->cert);
    free(held);
  }
  ironhouse_store_destroy(&self->store);
  free(self->location);
  free(self);
  *self_p = NULL;
}

/* Opens the certificates in a directory, which may be made later, and change at any time; of NULL, makes an empty store in memory. */
#define zcertstore_new(...) czmq2_certstore_new(CZMQ2_TEXT(__VA_ARGS__))
static inline zcertstore_t *czmq2_certstore_new(char *location)
{
  zcertstore_t *self = (zcertstore_t *) czmq2_new(sizeof *self);
  self->location = location;
  if (!czmq2_ok("zcertstore_new", location ? ironhouse_store_directory(&self->store, location, IRONHOUSE_NUL)
                                           : ironhouse_store_memory(&self->store)))
    zcertstore_destroy(&self);
  return self;
}

static inline void czmq2_hold(zcertstore_t *self, zcert_t *cert, bool inserted)
{
  struct czmq2_held *held = (struct czmq2_held *) czmq2_new(sizeof *held);
  held->cert = cert;
  held->inserted = inserted;
  held->next = self->held;
  self->held = held;
}

/* The certificate of a public key as text, which is the store's; NULL, if there is none. Sees what changed on disk before. */
static inline zcert_t *zcertstore_lookup(zcertstore_t *self, const char *public_key)
{
  if (self->location)
    czmq2_ok("zcertstore_lookup", ironhouse_store_sync(self->store, 5000));
  ironhouse_certificate_t *certificate = NULL;
  ironhouse_store_lookup(self->store, public_key, IRONHOUSE_NUL, &certificate);
  zcert_t *cert = czmq2_cert("zcertstore_lookup", certificate);
  if (!cert)
    return NULL;
  struct czmq2_held *held = self->held;
  while (held && strneq(held->cert->public_txt, public_key))
    held = held->next;
  if (!held) {
    czmq2_hold(self, cert, false);
    return cert;
  }
  if (!held->inserted) {
    /* As it is now, where it was. */
    zcert_t old = *held->cert;
    *held->cert = *cert;
    *cert = old;
    ironhouse_wipe((uint8_t *) &old, sizeof old);
  }
  zcert_destroy(&cert);
  return held->cert;
}

/* Adds a certificate in memory, which goes to the store; nothing is saved. */
static inline void zcertstore_insert(zcertstore_t *self, zcert_t **cert_p)
{
  if (!czmq2_ok("zcertstore_insert", ironhouse_store_insert(self->store, (*cert_p)->certificate)))
    return;
  czmq2_hold(self, *cert_p, true);
  *cert_p = NULL;
}

struct czmq2_printing {
  zcertstore_t *store;
  FILE *file;
};

static inline void czmq2_print_key(void *user_data, const char *public_key)
{
  const struct czmq2_printing *printing = (const struct czmq2_printing *) user_data;
  zcert_t *cert = zcertstore_lookup(printing->store, public_key);
  if (cert)
    zcert_fprint(cert, printing->file);
}

static inline void czmq2_print_problem(void *user_data, const char *problem)
{
  czmq2_print((FILE *) user_data, "W: ", problem);
  fputc('\n', (FILE *) user_data);
}

/* Prints the certificates, but no secret key, and what is wrong with other files of the directory. */
static inline void zcertstore_fprint(zcertstore_t *self, FILE *file)
{
  struct czmq2_printing printing = {self, file};
  if (self->location) {
    fprintf(file, "Certificate store at %s:\n", self->location);
    czmq2_ok("zcertstore_print", ironhouse_store_sync(self->store, 5000));
  } else {
    fputs("Certificate store\n", file);
  }
  czmq2_ok("zcertstore_print", ironhouse_store_each_key(self->store, czmq2_print_key, &printing));
  czmq2_ok("zcertstore_print", ironhouse_store_each_problem(self->store, czmq2_print_problem, file));
}

static inline void zcertstore_print(zcertstore_t *self)
{
  zcertstore_fprint(self, stdout);
}

static inline void zcertstore_dump(zcertstore_t *self)
{
  zcertstore_fprint(self, stdout);
}

#endif /* IRONHOUSE_COMPAT_CZMQ_ZCERTSTORE_H */
