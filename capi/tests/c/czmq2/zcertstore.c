/* Stores of certificates, on disk and in memory. */
#include <czmq.h>

int main (void)
{
    //  The directory comes later
    zcertstore_t *certstore = zcertstore_new ("%s", "store");
    assert (certstore);
    zcert_t *cert = zcert_new ();
    char *key = strdup (zcert_public_txt (cert));
    assert (zcertstore_lookup (certstore, key) == NULL);

    assert (zsys_dir_create ("store") == 0);
    zcert_set_meta (cert, "name", "John Doe");
    assert (zcert_save (cert, "store/mycert.txt") == 0);
    zcert_t *found = zcertstore_lookup (certstore, key);
    assert (found);
    assert (streq (zcert_meta (found, "name"), "John Doe"));
    assert (strspn (zcert_secret_txt (found), "0") == 40);

    //  A change is seen, and a removal
    zcert_set_meta (cert, "name", "Jane Doe");
    assert (zcert_save_public (cert, "store/mycert.txt") == 0);
    assert (zcertstore_lookup (certstore, key) == found);
    assert (streq (zcert_meta (found, "name"), "Jane Doe"));
    zcertstore_print (certstore);
    assert (zsys_file_delete ("store/mycert.txt") == 0);
    assert (zsys_file_delete ("store/mycert.txt_secret") == 0);
    assert (zcertstore_lookup (certstore, key) == NULL);
    assert (zcertstore_lookup (certstore, "no key") == NULL);

    //  One that is inserted goes to the store
    zcert_t *same = cert;
    zcertstore_insert (certstore, &cert);
    assert (cert == NULL);
    assert (zcertstore_lookup (certstore, key) == same);
    zcertstore_destroy (&certstore);
    assert (certstore == NULL);

    certstore = zcertstore_new (NULL);
    assert (certstore);
    cert = zcert_new ();
    free (key);
    key = strdup (zcert_public_txt (cert));
    zcert_set_meta (cert, "name", "Nobody");
    zcertstore_insert (certstore, &cert);
    found = zcertstore_lookup (certstore, key);
    assert (found);
    assert (streq (zcert_meta (found, "name"), "Nobody"));
    zcertstore_dump (certstore);
    zcertstore_destroy (&certstore);
    free (key);
    puts ("zcertstore test OK");
    return 0;
}
