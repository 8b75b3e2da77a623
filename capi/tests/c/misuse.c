/* What the calls of misuse.inc are made with, which tests/misuse.rs makes of the header. */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

struct handles {
  ironhouse_authenticator_t *authenticator;
  ironhouse_certificate_t *certificate;
  ironhouse_feed_t *feed;
  ironhouse_passwords_t *passwords;
  ironhouse_policy_t *policy;
  ironhouse_reply_t *reply;
  ironhouse_signing_key_t *signing_key;
  ironhouse_store_t *store;
  ironhouse_trust_t *trust;
  char key[IRONHOUSE_KEY_SIZE], verify_key[IRONHOUSE_VERIFY_KEY_SIZE];
  const char *const *texts;
  ironhouse_credential_t credential;
  ironhouse_authenticator_options_t options;
  ironhouse_counters_t counters;
  ironhouse_api_t api;
  void *context, *socket, *library;
};

/* Handles that are in order, and others that were destroyed. */
static struct handles good, gone;
/* A handle of another kind. */
#define OTHER(kind) ((ironhouse_##kind##_t *) ((void *) good.kind == (void *) good.policy ? (void *) good.store : (void *) good.policy))
#define OTHER_PLACE(kind) ((ironhouse_##kind##_t **) (other = OTHER(kind), (void *) &other))
/* What is no handle at all. */
#define ANY_PLACE(kind) ((ironhouse_##kind##_t **) (other = room, (void *) &other))

static void *other, *fresh;
static int freed, taken;
static _Alignas(16) char room[4096];
static const _Alignas(16) char const_zeros[65536];
static void *const zeros = (void *) const_zeros;
static char endless[128 * 1024];
static const char *const good_texts[] = {"ada@EXAMPLE.ORG"};
static const char *const bad_texts[] = {NULL, endless, "\xff"};
static const void *const no_handles[] = {NULL};

static void never_called(void)
{
  CHECK(!"a callback was called");
}

static void count_freed(void *user_data)
{
  (*(int *) user_data)++;
}

/* Checks what a call answers, that it says why, and that it made and changed nothing. */
#define REFUSED(call)                                                                                                  \
  do {                                                                                                                 \
    ironhouse_result_t result = (call);                                                                                \
    if (result == IRONHOUSE_OK || !ironhouse_last_error()[0] || fresh)                                                 \
      fprintf(stderr, "%s answers %d\n", #call, result);                                                               \
    CHECK(result != IRONHOUSE_OK && ironhouse_last_error()[0] && !fresh);                                              \
  } while (0)
#define WRONG(expected, call)                                                                                          \
  do {                                                                                                                 \
    ironhouse_result_t answer = (call);                                                                                \
    if (answer != (expected) || !ironhouse_last_error()[0] || fresh)                                                   \
      fprintf(stderr, "%s answers %d: %s\n", #call, answer, ironhouse_last_error());                                   \
    CHECK(answer == (expected) && ironhouse_last_error()[0] && !fresh);                                                \
  } while (0)

#include "misuse.inc"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Keeps a reply, so that there is one. */
static void keep(void *user_data, const ironhouse_peer_t *peer, ironhouse_reply_t *reply)
{
  (void) user_data;
  CHECK(peer->domain);
  pthread_mutex_lock(&mutex);
  good.reply = reply;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

/* Has a peer asked about, which ends with the reply. */
static void *ask(void *data)
{
  (void) data;
  int status = 0;
  size_t length = 0;
  OK(ironhouse_authenticator_explain(good.authenticator, IRONHOUSE_TEXT("deferred"), IRONHOUSE_TEXT("192.0.2.7"), &good.credential, &status,
                                     NULL, 0, &length));
  CHECK(status == IRONHOUSE_ADMIT);
  return NULL;
}

static void never_told(void *user_data, const ironhouse_handshake_t *handshake)
{
  (void) user_data, (void) handshake;
  never_called();
}

/* Makes a handle of each kind that programs make. */
static void make(struct handles *of)
{
  OK(ironhouse_certificate_new(&of->certificate));
  OK(ironhouse_certificate_public_key(of->certificate, of->key));
  OK(ironhouse_passwords_memory(&of->passwords));
  OK(ironhouse_policy_new(&of->policy));
  OK(ironhouse_signing_key_new(&of->signing_key));
  OK(ironhouse_signing_key_verify_key(of->signing_key, of->verify_key));
  OK(ironhouse_store_memory(&of->store));
  OK(ironhouse_trust_new(&of->trust));
  OK(ironhouse_feed_handshakes(&of->feed, good.socket, &good.api, never_told, NULL, NULL));
  /* Longer than all of this takes, for the reply that is kept. */
  ironhouse_authenticator_options_t options = {.size = sizeof options, .deadline = 300000};
  OK(ironhouse_authenticator_start(&of->authenticator, &good.api, good.context, &options));
}

/* Destroys them; a second time there is nothing to do. */
static void destroy(struct handles *of)
{
  for (int i = 0; i < 2; i++) {
    OK(ironhouse_authenticator_destroy(&of->authenticator));
    OK(ironhouse_certificate_destroy(&of->certificate));
    OK(ironhouse_feed_destroy(&of->feed));
    OK(ironhouse_passwords_destroy(&of->passwords));
    OK(ironhouse_policy_destroy(&of->policy));
    OK(ironhouse_reply_destroy(&of->reply));
    OK(ironhouse_signing_key_destroy(&of->signing_key));
    OK(ironhouse_store_destroy(&of->store));
    OK(ironhouse_trust_destroy(&of->trust));
  }
  CHECK(!of->authenticator && !of->certificate && !of->feed && !of->passwords && !of->policy && !of->reply && !of->signing_key &&
        !of->store && !of->trust);
}

/* The same calls by another thread, whose errors are its own. */
static void *call_elsewhere(void *data)
{
  (void) data;
  CHECK(!ironhouse_last_error()[0] && ironhouse_last_errno() == 0);
  call_wrongly();
  return NULL;
}

int main(void)
{
  memset(endless, 'a', sizeof endless);
  good.context = zmq_ctx_new();
  good.socket = zmq_socket(good.context, ZMQ_PULL);
  good.library = dlopen(NULL, RTLD_NOW);
  CHECK(good.context && good.socket && good.library);
  ironhouse_api_init(&good.api);

  /* Destroyed ones: a copy of the pointers is left. */
  struct handles last;
  make(&gone);
  last = gone;
  destroy(&gone);
  memcpy(&gone, &last, sizeof gone);
  make(&good);
  good.texts = good_texts;
  good.counters.size = sizeof good.counters;
  good.options.size = sizeof good.options;
  good.credential.size = sizeof good.credential;
  good.credential.mechanism = "CURVE";
  good.credential.name = good.key;
  good.credential.name_length = IRONHOUSE_NUL;
  OK(ironhouse_certificate_set_meta(good.certificate, IRONHOUSE_TEXT("any"), IRONHOUSE_TEXT("value")));
  OK(ironhouse_policy_curve_any(good.policy));
  OK(ironhouse_authenticator_set_policy(good.authenticator, IRONHOUSE_TEXT("any"), good.policy));

  /* Replies there are while a peer is asked about: one that was answered, and one that is not yet. */
  pthread_t asking;
  ironhouse_policy_t *deferred = NULL;
  OK(ironhouse_policy_new(&deferred));
  OK(ironhouse_policy_curve_deferred(deferred, keep, &taken, count_freed));
  OK(ironhouse_authenticator_set_policy(good.authenticator, IRONHOUSE_TEXT("deferred"), deferred));
  OK(ironhouse_policy_destroy(&deferred));
  for (int i = 0; i < 2; i++) {
    CHECK(pthread_create(&asking, NULL, ask, NULL) == 0);
    pthread_mutex_lock(&mutex);
    while (!good.reply)
      pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    if (i == 0) {
      gone.reply = good.reply;
      OK(ironhouse_reply_answer(&good.reply, IRONHOUSE_ADMIT));
      CHECK(!good.reply && pthread_join(asking, NULL) == 0);
    }
  }

  call_wrongly();
  int once = freed;
  CHECK(once > 0);
  char *reason = strdup(ironhouse_last_error());
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, call_elsewhere, NULL) == 0 && pthread_join(thread, NULL) == 0);
  CHECK(freed == 2 * once && strcmp(reason, ironhouse_last_error()) == 0);
  free(reason);
  ironhouse_wipe(NULL, 16);
  CHECK(ironhouse_version()[0]);

  pid_t child = fork();
  CHECK(child != -1);
  if (child == 0) {
    call_in_a_child();
    ironhouse_policy_t *own = NULL;
    OK(ironhouse_policy_new(&own));
    OK(ironhouse_policy_allow(own, IRONHOUSE_TEXT("192.0.2.7")));
    OK(ironhouse_policy_destroy(&own));
    /* Not _exit: valgrind would count what the parent's threads own. */
    execl("/bin/true", "true", (char *) NULL);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);

  /* What is in order still is. */
  OK(ironhouse_authenticator_counters(good.authenticator, &good.counters));
  OK(ironhouse_reply_answer(&good.reply, IRONHOUSE_ADMIT));
  CHECK(pthread_join(asking, NULL) == 0);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_reply_answer(&good.reply, IRONHOUSE_ADMIT));
  destroy(&good);
  CHECK(taken == 1);
  CHECK(zmq_close(good.socket) == 0 && zmq_ctx_term(good.context) == 0);
  dlclose(good.library);
  return 0;
}
