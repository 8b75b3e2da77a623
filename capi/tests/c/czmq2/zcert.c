/* Certificates: metadata, files, copies. */
#include <czmq.h>

#define NO_KEY "0000000000000000000000000000000000000000"

int main (void)
{
    assert (zsys_dir_create ("files/of/%s", "zcert") == 0);
    assert (zsys_dir_create ("files/of/zcert/") == 0);
    zcert_t *cert = zcert_new ();
    assert (cert);
    zcert_set_meta (cert, "email", "ada@example.org");
    zcert_set_meta (cert, "name", "Ada Lovelace");
    zcert_set_meta (cert, "share", "100% of it");
    zcert_set_meta (cert, "version", "%d", 1);
    zcert_set_meta (cert, "version", "%d.%d", 1, 2);
    assert (streq (zcert_meta (cert, "email"), "ada@example.org"));
    assert (streq (zcert_meta (cert, "share"), "100% of it"));
    assert (streq (zcert_meta (cert, "version"), "1.2"));
    assert (zcert_meta (cert, "elsewhere") == NULL);

    //  A value that no file can have is not taken
    zcert_set_meta (cert, "name", "two\nlines");
    assert (streq (zcert_meta (cert, "name"), "Ada Lovelace"));

    zlist_t *keys = zcert_meta_keys (cert);
    assert (zlist_size (keys) == 4);
    assert (streq ((char *) zlist_first (keys), "email"));
    assert (streq ((char *) zlist_next (keys), "name"));
    zlist_destroy (&keys);
    assert (keys == NULL);

    zcert_t *shadow = zcert_dup (cert);
    assert (zcert_eq (cert, shadow));
    assert (streq (zcert_meta (shadow, "version"), "1.2"));
    zcert_set_meta (shadow, "version", "2");
    assert (streq (zcert_meta (cert, "version"), "1.2"));
    zcert_destroy (&shadow);
    assert (shadow == NULL);

    shadow = zcert_new_from (zcert_public_key (cert), zcert_secret_key (cert));
    assert (zcert_eq (cert, shadow));
    zcert_t *other = zcert_new ();
    assert (!zcert_eq (cert, other));
    assert (zcert_new_from (zcert_public_key (other), zcert_secret_key (cert)) == NULL);
    zcert_destroy (&other);
    zcert_destroy (&shadow);

    //  Both files; the secret one is loaded, as long as it is there
    assert (zcert_save (cert, "files/of/%s/mycert.txt", "zcert") == 0);
    assert (zsys_file_exists ("files/of/zcert/mycert.txt"));
    assert (zsys_file_exists ("files/of/zcert/mycert.txt_secret"));
    shadow = zcert_load ("files/of/zcert/mycert.txt");
    assert (shadow);
    assert (zcert_eq (cert, shadow));
    assert (streq (zcert_secret_txt (shadow), zcert_secret_txt (cert)));
    assert (streq (zcert_meta (shadow, "share"), "100% of it"));
    zcert_destroy (&shadow);

    //  One that others can read is not
    assert (chmod ("files/of/zcert/mycert.txt_secret", 0644) == 0);
    assert (zcert_load ("files/of/zcert/mycert.txt") == NULL);

    assert (zsys_file_delete ("files/of/zcert/mycert.txt_secret") == 0);
    shadow = zcert_load ("files/of/%s/mycert.txt", "zcert");
    assert (shadow);
    assert (!zcert_eq (cert, shadow));
    assert (streq (zcert_public_txt (shadow), zcert_public_txt (cert)));
    assert (streq (zcert_secret_txt (shadow), NO_KEY));
    assert (zcert_save_secret (shadow, "files/none") == -1);
    zcert_dump (shadow);
    zcert_t *copy = zcert_dup (shadow);
    assert (zcert_eq (shadow, copy));
    zcert_destroy (&copy);
    zcert_destroy (&shadow);

    //  All in one file
    assert (zcert_save_secret (cert, "files/%s", "keys") == 0);
    struct stat found;
    assert (stat ("files/keys", &found) == 0 && (found.st_mode & 0777) == 0600);
    assert (!zsys_file_exists ("files/keys_secret"));
    shadow = zcert_load ("files/keys");
    assert (shadow);
    assert (zcert_eq (cert, shadow));
    zcert_destroy (&shadow);

    assert (zcert_save_public (cert, "files/nowhere/cert.txt") == -1);
    assert (zcert_load ("files/nowhere/cert.txt") == NULL);
    assert (zcert_load ("files") == NULL);

    zcert_print (cert);
    zcert_destroy (&cert);
    zcert_destroy (&cert);
    puts ("zcert test OK");
    return 0;
}
