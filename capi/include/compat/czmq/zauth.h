/* zauth, and the end of its context. Included by ../czmq.h, in its order. */
#ifndef IRONHOUSE_COMPAT_CZMQ_ZAUTH_H
#define IRONHOUSE_COMPAT_CZMQ_ZAUTH_H

/* What the thread that prints looks at. It has two owners: zauth, and the library, whose thread ends with the context. */
struct czmq2_trace {
  int verbose, allowing, denying, owners;
};

static inline void czmq2_trace_release(void *data)
{
  struct czmq2_trace *trace = (struct czmq2_trace *) data;
  if (__atomic_sub_fetch(&trace->owners, 1, __ATOMIC_ACQ_REL) == 0)
    free(trace);
}

/* How one domain admits over PLAIN and CURVE. */
struct czmq2_rule {
  char *domain;
  ironhouse_passwords_t *passwords;
  bool curve;
  /* NULL admits any key. */
  ironhouse_store_t *store;
  struct czmq2_rule *next;
};

struct czmq2_auth {
  ironhouse_authenticator_t *authenticator;
  /* NULL once that was destroyed. */
  zctx_t *ctx;
  zlist_t allowed, denied;
  /* "*", and those of the domains that were named. */
  struct czmq2_rule all, *named;
  struct czmq2_trace *trace;
};

static inline void czmq2_print_event(void *user_data, const ironhouse_event_t *event)
{
  struct czmq2_trace *trace = (struct czmq2_trace *) user_data;
  if (!__atomic_load_n(&trace->verbose, __ATOMIC_ACQUIRE))
    return;
  flockfile(stdout);
  if (!event->reason) {
    czmq2_print(stdout, "I: ", event->text);
  } else if (streq(event->reason, "address_denied")) {
    czmq2_print(stdout, "I: DENIED (blacklist) address=", event->address);
  } else if (streq(event->reason, "address_not_allowed")) {
    czmq2_print(stdout, "I: DENIED (not in whitelist) address=", event->address);
  } else {
    if (__atomic_load_n(&trace->allowing, __ATOMIC_ACQUIRE))
      czmq2_print(stdout, "I: PASSED (whitelist) address=", event->address);
    else if (__atomic_load_n(&trace->denying, __ATOMIC_ACQUIRE))
      czmq2_print(stdout, "I: PASSED (not in blacklist) address=", event->address);
    if (__atomic_load_n(&trace->allowing, __ATOMIC_ACQUIRE) || __atomic_load_n(&trace->denying, __ATOMIC_ACQUIRE))
      fputc('\n', stdout);
    printf("I: %s (%s)", event->status == IRONHOUSE_ADMIT ? "ALLOWED" : "DENIED", event->mechanism);
    if (event->identity)
      czmq2_print(stdout, streq(event->mechanism, "CURVE") ? " client_key=" : " username=", event->identity);
    if (event->status != IRONHOUSE_ADMIT)
      printf(" reason=%s", event->reason);
  }
  fputc('\n', stdout);
  fflush(stdout);
  funlockfile(stdout);
}

/* The policy of a domain: the addresses are those of all, and what its own rule does not say, that of "*" does. */
static inline ironhouse_policy_t *czmq2_policy(zauth_t *self, const struct czmq2_rule *own)
{
  ironhouse_policy_t *policy = NULL;
  ironhouse_result_t result = ironhouse_policy_new(&policy);
  for (size_t i = 0; i < self->allowed.size && result == IRONHOUSE_OK; i++)
    result = ironhouse_policy_allow(policy, IRONHOUSE_TEXT(self->allowed.items[i]));
  for (size_t i = 0; i < self->denied.size && result == IRONHOUSE_OK; i++)
    result = ironhouse_policy_deny(policy, IRONHOUSE_TEXT(self->denied.items[i]));
  const struct czmq2_rule *plain = own->passwords ? own : &self->all, *curve = own->curve ? own : &self->all;
  if (result == IRONHOUSE_OK)
    result = ironhouse_policy_null(policy);
  if (result == IRONHOUSE_OK && plain->passwords)
    result = ironhouse_policy_plain(policy, plain->passwords);
  if (result == IRONHOUSE_OK && curve->curve)
    result = curve->store ? ironhouse_policy_curve_store(policy, curve->store) : ironhouse_policy_curve_any(policy);
  if (!czmq2_ok("zauth", result))
    ironhouse_policy_destroy(&policy);
  return policy;
}

/* Puts what is known into force. */
static inline bool czmq2_auth_apply(zauth_t *self)
{
  ironhouse_policy_t *policy = czmq2_policy(self, &self->all);
  bool ok = policy && czmq2_ok("zauth", ironhouse_authenticator_set_fallback(self->authenticator, policy));
  ironhouse_policy_destroy(&policy);
  for (const struct czmq2_rule *rule = self->named; rule && ok; rule = rule->next) {
    policy = czmq2_policy(self, rule);
    ok = policy && czmq2_ok("zauth", ironhouse_authenticator_set_policy(self->authenticator,
                                                                        IRONHOUSE_TEXT(rule->domain), policy));
    ironhouse_policy_destroy(&policy);
  }
  if (self->trace) {
    __atomic_store_n(&self->trace->allowing, self->allowed.size > 0, __ATOMIC_RELEASE);
    __atomic_store_n(&self->trace->denying, self->denied.size > 0, __ATOMIC_RELEASE);
  }
  return ok;
}

static inline void czmq2_rule_clear(struct czmq2_rule *rule)
{
  ironhouse_passwords_destroy(&rule->passwords);
  ironhouse_store_destroy(&rule->store);
  free(rule->domain);
}

/* Ends the authenticator: the servers that it guarded admit nobody from now on. */
static inline void zauth_destroy(zauth_t **self_p)
{
  if (!self_p || !*self_p)
    return;
  zauth_t *self = *self_p;
  pthread_mutex_lock(&czmq2_contexts.mutex);
  if (self->ctx)
    self->ctx->auth = NULL;
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  czmq2_ok("zauth_destroy", ironhouse_authenticator_destroy(&self->authenticator));
  while (self->named) {
    struct czmq2_rule *rule = self->named;
    self->named = rule->next;
    czmq2_rule_clear(rule);
    free(rule);
  }
  czmq2_rule_clear(&self->all);
  czmq2_list_clear(&self->allowed);
  czmq2_list_clear(&self->denied);
  if (self->trace)
    czmq2_trace_release(self->trace);
  free(self);
  *self_p = NULL;
}

/*
 * Starts the authenticator of a context, for all of its servers. Until it is told otherwise, it admits everybody without a credential (NULL), and
 * nobody over PLAIN and CURVE. NULL, if it cannot be started, as where the context has one.
 */
static inline zauth_t *zauth_new(zctx_t *ctx)
{
  zauth_t *self = (zauth_t *) czmq2_new(sizeof *self);
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  if (!czmq2_ok("zauth_new", ironhouse_authenticator_start(&self->authenticator, &api, ctx->underlying, NULL)) ||
      !czmq2_auth_apply(self)) {
    zauth_destroy(&self);
    return NULL;
  }
  pthread_mutex_lock(&czmq2_contexts.mutex);
  self->ctx = ctx;
  ctx->auth = self;
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  return self;
}

/* Prints every decision, but no password. */
static inline void zauth_set_verbose(zauth_t *self, bool verbose)
{
  if (!self->trace && verbose) {
    struct czmq2_trace *trace = (struct czmq2_trace *) czmq2_new(sizeof *trace);
    trace->owners = 2;
    ironhouse_result_t result =
        ironhouse_authenticator_on_event(self->authenticator, czmq2_print_event, trace, czmq2_trace_release);
    if (czmq2_ok("zauth_set_verbose", result))
      self->trace = trace;
    else
      czmq2_trace_release(trace);
    czmq2_auth_apply(self);
  }
  if (self->trace)
    __atomic_store_n(&self->trace->verbose, verbose, __ATOMIC_RELEASE);
}

static inline bool czmq2_is_address(const char *call, const char *address)
{
  ironhouse_policy_t *policy = NULL;
  bool is = czmq2_ok(call, ironhouse_policy_new(&policy)) &&
            czmq2_ok(call, ironhouse_policy_allow(policy, address, IRONHOUSE_NUL));
  ironhouse_policy_destroy(&policy);
  return is;
}

/* Admits peers of this address (and, as CZMQ does not, of a block) only, and of those that other calls allow. Takes back that it was denied. */
static inline void zauth_allow(zauth_t *self, const char *address)
{
  /* Whatever was meant, it was not everybody: an address that no peer has. */
  if (!czmq2_is_address("zauth_allow", address))
    address = "255.255.255.255";
  czmq2_list_remove(&self->denied, address);
  czmq2_list_remove(&self->allowed, address);
  czmq2_list_append(&self->allowed, address);
  czmq2_auth_apply(self);
}

/* Refuses peers of this address. */
static inline void zauth_deny(zauth_t *self, const char *address)
{
  if (czmq2_is_address("zauth_deny", address)) {
    czmq2_list_remove(&self->denied, address);
    czmq2_list_append(&self->denied, address);
  } else {
    /* It cannot be told who is meant: everybody. */
    czmq2_list_append(&self->denied, "0.0.0.0/0");
    czmq2_list_append(&self->denied, "::/0");
  }
  czmq2_auth_apply(self);
}

/* The rule of a domain, or that of all others ("*"). */
static inline struct czmq2_rule *czmq2_rule_of(zauth_t *self, const char *domain)
{
  if (!domain || streq(domain, "*"))
    return &self->all;
  struct czmq2_rule *rule = self->named;
  while (rule && strneq(rule->domain, domain))
    rule = rule->next;
  if (!rule) {
    rule = (struct czmq2_rule *) czmq2_new(sizeof *rule);
    rule->domain = czmq2_copy(domain);
    rule->next = self->named;
    self->named = rule;
  }
  return rule;
}

/*
 * Admits over PLAIN who knows a name and password of this file, lines `name=password`, which may change at any time.
 *
 * Programs of the time make the file as their umask has it, which opens it to others. It is theirs: its mode stays as it is, the program is told, and
 * the file is followed all the same. Reading it once into memory would lose later changes, and refusing it would stop the programs that this
 * header is for. One that everybody may change is refused: whoever logs in could make himself a user.
 */
#define zauth_configure_plain(self, domain, ...) czmq2_configure_plain((self), (domain), CZMQ2_TEXT(__VA_ARGS__))
static inline void czmq2_configure_plain(zauth_t *self, const char *domain, char *filename)
{
  const char *call = "zauth_configure_plain";
  struct czmq2_rule *rule = czmq2_rule_of(self, domain);
  ironhouse_passwords_destroy(&rule->passwords);
  ironhouse_result_t result = ironhouse_passwords_load(&rule->passwords, filename, IRONHOUSE_NUL);
  if (result == IRONHOUSE_BAD_FILE) {
    char *reason = czmq2_copy(ironhouse_last_error());
    result = ironhouse_passwords_load_exposed(&rule->passwords, filename, IRONHOUSE_NUL);
    if (result == IRONHOUSE_OK)
      czmq2_say('W', call, reason);
    free(reason);
  }
  /* Nobody, where the file will not do. */
  if (!czmq2_ok(call, result))
    czmq2_ok(call, ironhouse_passwords_memory(&rule->passwords));
  free(filename);
  czmq2_auth_apply(self);
}

/*
 * Admits over CURVE the owners of the public certificates in this directory, or everybody (CURVE_ALLOW_ANY). The directory may be made later, and
 * what is in it may change at any time: who is saved there is admitted at once.
 */
#define zauth_configure_curve(self, domain, ...) czmq2_configure_curve((self), (domain), CZMQ2_TEXT(__VA_ARGS__))
static inline void czmq2_configure_curve(zauth_t *self, const char *domain, char *location)
{
  const char *call = "zauth_configure_curve";
  struct czmq2_rule *rule = czmq2_rule_of(self, domain);
  ironhouse_store_destroy(&rule->store);
  rule->curve = true;
  if (location && strneq(location, CURVE_ALLOW_ANY) &&
      !czmq2_ok(call, ironhouse_store_directory(&rule->store, location, IRONHOUSE_NUL)))
    /* Nobody, where the directory will not do. */
    rule->curve = czmq2_ok(call, ironhouse_store_memory(&rule->store));
  free(location);
  czmq2_auth_apply(self);
}

/* Closes the context's sockets and ends it. Its authenticator, if that is still there, is to be destroyed all the same. */
static inline void zctx_destroy(zctx_t **self_p)
{
  if (!self_p || !*self_p)
    return;
  zctx_t *self = *self_p;
  pthread_mutex_lock(&czmq2_contexts.mutex);
  zctx_t **place = &czmq2_contexts.first;
  while (*place && *place != self)
    place = &(*place)->next;
  if (*place)
    *place = self->next;
  if (self->auth)
    self->auth->ctx = NULL;
  struct czmq2_socket *sockets = self->sockets;
  pthread_mutex_unlock(&czmq2_contexts.mutex);
  while (sockets) {
    struct czmq2_socket *socket = sockets;
    sockets = socket->next;
    czmq2_close(self, socket);
  }
  czmq2_terminate(self->underlying, 5000 + (self->linger > 0 ? self->linger : 0));
  free(self);
  *self_p = NULL;
}

#endif /* IRONHOUSE_COMPAT_CZMQ_ZAUTH_H */
