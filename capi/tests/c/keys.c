/* Keys and certificates, their files, and wrong use of either. */
#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void keys(void)
{
  char public_key[IRONHOUSE_KEY_SIZE], secret_key[IRONHOUSE_KEY_SIZE], again[IRONHOUSE_KEY_SIZE];
  OK(ironhouse_keypair(public_key, secret_key));
  CHECK(strlen(public_key) == 40 && strlen(secret_key) == 40);
  OK(ironhouse_public_key(IRONHOUSE_TEXT(secret_key), again));
  CHECK(strcmp(public_key, again) == 0);

  /* libzmq agrees. */
  char by_libzmq[41];
  CHECK(zmq_curve_public(by_libzmq, secret_key) == 0);
  CHECK(strcmp(public_key, by_libzmq) == 0);

  uint8_t bytes[32];
  OK(ironhouse_z85_decode(IRONHOUSE_TEXT(public_key), bytes));
  OK(ironhouse_z85_encode(bytes, again));
  CHECK(strcmp(public_key, again) == 0);
  FAILS(IRONHOUSE_BAD_KEY, ironhouse_z85_decode("too short", 9, bytes));

  char fingerprint[IRONHOUSE_FINGERPRINT_SIZE];
  size_t length = 0;
  OK(ironhouse_fingerprint(IRONHOUSE_TEXT(public_key), fingerprint, sizeof fingerprint, &length));
  CHECK(length > 0 && strlen(fingerprint) == length);
  FAILS(IRONHOUSE_BUFFER_TOO_SMALL, ironhouse_fingerprint(IRONHOUSE_TEXT(public_key), fingerprint, 4, NULL));

  ironhouse_wipe((uint8_t *) secret_key, sizeof secret_key);
  for (size_t i = 0; i < sizeof secret_key; i++)
    CHECK(secret_key[i] == 0);
  ironhouse_wipe(NULL, 7);
}

static void count_key(void *user_data, const char *key)
{
  CHECK(strlen(key) == IRONHOUSE_KEY_SIZE - 1);
  (*(int *)user_data)++;
}

static void count(void *user_data, const char *name, const char *value)
{
  CHECK(strcmp(name, "name") != 0 || strcmp(value, "pump 7") == 0);
  ++*(int *) user_data;
}

static void certificates(void)
{
  ironhouse_certificate_t *made = NULL, *loaded = NULL;
  OK(ironhouse_certificate_new(&made));
  OK(ironhouse_certificate_set_meta(made, IRONHOUSE_TEXT("name"), "pump 7 and more", 6));
  OK(ironhouse_certificate_set_meta(made, IRONHOUSE_TEXT("gone"), IRONHOUSE_TEXT("soon")));
  OK(ironhouse_certificate_unset_meta(made, IRONHOUSE_TEXT("gone")));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_certificate_set_meta(made, IRONHOUSE_TEXT("a b"), IRONHOUSE_TEXT("c")));
  OK(ironhouse_certificate_set_validity(made, 1000000000, 4000000000, false));
  FAILS(IRONHOUSE_INVALID_ARGUMENT, ironhouse_certificate_set_validity(made, 2, 1, false));
  OK(ironhouse_certificate_save(made, IRONHOUSE_TEXT("pump.cert")));
  struct stat status;
  CHECK(stat("pump.cert_secret", &status) == 0 && (status.st_mode & 0777) == 0600);

  OK(ironhouse_certificate_load_secret(&loaded, IRONHOUSE_TEXT("pump.cert")));
  char one[IRONHOUSE_KEY_SIZE], two[IRONHOUSE_KEY_SIZE];
  OK(ironhouse_certificate_secret_key(made, one));
  OK(ironhouse_certificate_secret_key(loaded, two));
  CHECK(strcmp(one, two) == 0);
  ironhouse_certificate_t *same = NULL;
  OK(ironhouse_certificate_from_secret_key(&same, IRONHOUSE_TEXT(one)));
  ironhouse_wipe((uint8_t *) one, sizeof one);
  ironhouse_wipe((uint8_t *) two, sizeof two);
  OK(ironhouse_certificate_public_key(made, one));
  OK(ironhouse_certificate_public_key(same, two));
  CHECK(strcmp(one, two) == 0);
  OK(ironhouse_certificate_destroy(&same));
  OK(ironhouse_certificate_destroy(&loaded));

  OK(ironhouse_certificate_save_secret_file(made, IRONHOUSE_TEXT("pump.keys")));
  CHECK(stat("pump.keys", &status) == 0 && (status.st_mode & 0777) == 0600 && stat("pump.keys_secret", &status) != 0);
  OK(ironhouse_certificate_load_secret_file(&loaded, IRONHOUSE_TEXT("pump.keys")));
  OK(ironhouse_certificate_destroy(&loaded));
  FAILS(IRONHOUSE_BAD_FILE, ironhouse_certificate_load_secret_file(&loaded, IRONHOUSE_TEXT("pump.cert")));

  OK(ironhouse_certificate_load(&loaded, IRONHOUSE_TEXT("pump.cert")));
  FAILS(IRONHOUSE_NO_SECRET_KEY, ironhouse_certificate_secret_key(loaded, one));
  FAILS(IRONHOUSE_NO_SECRET_KEY, ironhouse_certificate_save_secret_file(loaded, IRONHOUSE_TEXT("pump.keys")));
  char value[16];
  size_t length = 0;
  OK(ironhouse_certificate_meta(loaded, IRONHOUSE_TEXT("name"), value, sizeof value, &length));
  CHECK(length == 6 && strcmp(value, "pump 7") == 0);
  OK(ironhouse_certificate_meta(loaded, IRONHOUSE_TEXT("name"), NULL, 0, &length));
  FAILS(IRONHOUSE_BUFFER_TOO_SMALL, ironhouse_certificate_meta(loaded, IRONHOUSE_TEXT("name"), value, 6, &length));
  FAILS(IRONHOUSE_NOT_FOUND, ironhouse_certificate_meta(loaded, IRONHOUSE_TEXT("gone"), value, sizeof value, NULL));
  int64_t not_before = 0, not_after = 0;
  OK(ironhouse_certificate_validity(loaded, &not_before, &not_after, NULL));
  CHECK(not_before == 1000000000 && not_after == 4000000000);
  int values = 0;
  OK(ironhouse_certificate_each_meta(loaded, count, &values));
  CHECK(values == 3);
  OK(ironhouse_certificate_save_public(made, IRONHOUSE_TEXT("public.cert")));
  CHECK(stat("public.cert", &status) == 0 && stat("public.cert_secret", &status) != 0);
  OK(ironhouse_certificate_destroy(&loaded));

  FAILS(IRONHOUSE_IO, ironhouse_certificate_load(&loaded, IRONHOUSE_TEXT("nothing.cert")));
  CHECK(strstr(ironhouse_last_error(), "nothing.cert") && ironhouse_last_errno() == 2);
  CHECK(loaded == NULL);
  OK(ironhouse_certificate_destroy(&made));
  CHECK(made == NULL);
  OK(ironhouse_certificate_destroy(&made));
}

static void wrong_use(void)
{
  char key[IRONHOUSE_KEY_SIZE];
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_keypair(NULL, key));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_certificate_new(NULL));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_certificate_destroy(NULL));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_certificate_public_key(NULL, key));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_api_zmq_version(NULL, NULL, NULL, NULL));

  ironhouse_certificate_t *certificate = NULL;
  OK(ironhouse_certificate_new(&certificate));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_certificate_public_key(certificate, NULL));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_certificate_set_meta(certificate, NULL, 4, IRONHOUSE_TEXT("value")));
  FAILS(IRONHOUSE_BAD_TEXT, ironhouse_certificate_set_meta(certificate, IRONHOUSE_TEXT("name"), "\xff", 1));
  static char endless[70000];
  memset(endless, 'a', sizeof endless);
  FAILS(IRONHOUSE_BAD_TEXT, ironhouse_certificate_load(&certificate, IRONHOUSE_TEXT(endless)));

  /* A handle that is known to be another's or nobody's. */
  ironhouse_certificate_t *copy = certificate;
  FAILS(IRONHOUSE_BAD_HANDLE, ironhouse_certificate_public_key((ironhouse_certificate_t *) (void *) key, key));
  pid_t child = fork();
  if (child == 0) {
    FAILS(IRONHOUSE_FORKED, ironhouse_certificate_public_key(certificate, key));
    ironhouse_certificate_t *own = NULL;
    OK(ironhouse_certificate_new(&own));
    OK(ironhouse_certificate_public_key(own, key));
    OK(ironhouse_certificate_destroy(&own));
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  OK(ironhouse_certificate_destroy(&certificate));
  FAILS(IRONHOUSE_BAD_HANDLE, ironhouse_certificate_public_key(copy, key));
  FAILS(IRONHOUSE_BAD_HANDLE, ironhouse_certificate_destroy(&copy));
}

static void signatures(void)
{
  ironhouse_signing_key_t *administrator = NULL, *loaded = NULL, *other = NULL;
  char verify_key[IRONHOUSE_VERIFY_KEY_SIZE], again[IRONHOUSE_VERIFY_KEY_SIZE], other_key[IRONHOUSE_VERIFY_KEY_SIZE];
  OK(ironhouse_signing_key_new(&administrator));
  OK(ironhouse_signing_key_new(&other));
  OK(ironhouse_signing_key_verify_key(administrator, verify_key));
  OK(ironhouse_signing_key_verify_key(other, other_key));
  CHECK(strncmp(verify_key, "ed25519:", 8) == 0 && strlen(verify_key) == 48);
  OK(ironhouse_signing_key_save(administrator, IRONHOUSE_TEXT("anna.signing")));
  OK(ironhouse_signing_key_load(&loaded, IRONHOUSE_TEXT("anna.signing")));
  OK(ironhouse_signing_key_verify_key(loaded, again));
  CHECK(strcmp(verify_key, again) == 0);

  ironhouse_certificate_t *signed_one = NULL, *unsigned_one = NULL;
  OK(ironhouse_certificate_new(&signed_one));
  OK(ironhouse_certificate_new(&unsigned_one));
  OK(ironhouse_certificate_set_meta(signed_one, IRONHOUSE_TEXT("role"), IRONHOUSE_TEXT("reader")));
  OK(ironhouse_certificate_sign(signed_one, loaded));
  OK(ironhouse_certificate_verify(signed_one, IRONHOUSE_TEXT(verify_key)));
  FAILS(IRONHOUSE_BAD_SIGNATURE, ironhouse_certificate_verify(signed_one, IRONHOUSE_TEXT(other_key)));
  FAILS(IRONHOUSE_BAD_SIGNATURE, ironhouse_certificate_verify(unsigned_one, IRONHOUSE_TEXT(verify_key)));
  FAILS(IRONHOUSE_BAD_SIGNATURE, ironhouse_certificate_verify(signed_one, IRONHOUSE_TEXT("ed25519:nothing")));

  /* A store that believes the administrator has what he signed, and nothing else. */
  CHECK(mkdir("signed", 0755) == 0);
  OK(ironhouse_certificate_save_public(signed_one, IRONHOUSE_TEXT("signed/one")));
  OK(ironhouse_certificate_save_public(unsigned_one, IRONHOUSE_TEXT("signed/other")));
  ironhouse_trust_t *trust = NULL;
  ironhouse_store_t *store = NULL;
  OK(ironhouse_trust_new(&trust));
  FAILS(IRONHOUSE_BAD_SIGNATURE, ironhouse_trust_believe(trust, IRONHOUSE_TEXT("anna"), NULL, 0));
  OK(ironhouse_trust_believe(trust, IRONHOUSE_TEXT(verify_key), NULL, 0));
  OK(ironhouse_trust_remember(trust, IRONHOUSE_TEXT("serials")));
  OK(ironhouse_store_signed_directory(&store, IRONHOUSE_TEXT("signed"), trust));
  size_t size = 7;
  OK(ironhouse_store_size(store, &size));
  CHECK(size == 1);
  int keys = 0;
  OK(ironhouse_store_each_key(store, count_key, &keys));
  CHECK(keys == 1);
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_store_each_key(store, NULL, NULL));
  ironhouse_trust_t *nobody = NULL;
  OK(ironhouse_trust_new(&nobody));
  OK(ironhouse_store_set_trust(store, nobody));
  OK(ironhouse_store_sync(store, 20000));
  OK(ironhouse_store_size(store, &size));
  CHECK(size == 0);

  OK(ironhouse_certificate_set_meta(signed_one, IRONHOUSE_TEXT("role"), IRONHOUSE_TEXT("writer")));
  FAILS(IRONHOUSE_BAD_SIGNATURE, ironhouse_certificate_verify(signed_one, IRONHOUSE_TEXT(verify_key)));
  OK(ironhouse_store_destroy(&store));
  OK(ironhouse_trust_destroy(&nobody));
  OK(ironhouse_trust_destroy(&trust));
  OK(ironhouse_certificate_destroy(&signed_one));
  OK(ironhouse_certificate_destroy(&unsigned_one));
  OK(ironhouse_signing_key_destroy(&administrator));
  OK(ironhouse_signing_key_destroy(&loaded));
  OK(ironhouse_signing_key_destroy(&other));
}

static void tables(void)
{
  ironhouse_api_t api;
  ironhouse_api_init(&api);
  int version[3] = {0, 0, 0}, linked[3] = {0, 0, 0};
  OK(ironhouse_api_zmq_version(&api, &version[0], &version[1], &version[2]));
  zmq_version(&linked[0], &linked[1], &linked[2]);
  CHECK(memcmp(version, linked, sizeof version) == 0);
  CHECK((ironhouse_api_zmq_has(&api, IRONHOUSE_TEXT("curve")) == IRONHOUSE_OK) == (zmq_has("curve") == 1));
  FAILS(IRONHOUSE_UNSUPPORTED, ironhouse_api_zmq_has(&api, IRONHOUSE_TEXT("teleportation")));
  char file[4096];
  OK(ironhouse_api_zmq_file(&api, file, sizeof file, NULL));
  CHECK(strstr(file, "libzmq"));

  ironhouse_api_t bad = api;
  bad.zmq_bind = NULL;
  FAILS(IRONHOUSE_BAD_API, ironhouse_api_zmq_version(&bad, &version[0], &version[1], &version[2]));
  CHECK(strstr(ironhouse_last_error(), "zmq_bind"));
  bad = api;
  bad.size = 8;
  FAILS(IRONHOUSE_BAD_API, ironhouse_api_zmq_version(&bad, &version[0], &version[1], &version[2]));
  bad = api;
  bad.version = 0;
  FAILS(IRONHOUSE_BAD_API, ironhouse_api_zmq_version(&bad, &version[0], &version[1], &version[2]));
  FAILS(IRONHOUSE_NULL_POINTER, ironhouse_api_from_library(NULL, &api));
}

int main(void)
{
  CHECK(ironhouse_last_error()[0] == '\0');
  CHECK(strlen(ironhouse_version()) >= 5);
  keys();
  certificates();
  wrong_use();
  signatures();
  tables();
  return 0;
}
