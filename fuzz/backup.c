/*
 * fuzz/backup.c - the list of a backup, as anybody may have left it in the folder.
 *
 * The first byte says whether its own digest is made right.  What is read names nothing outside of the folder, and is
 * written and read again the same; files that it names are verified without harm.
 */
#include <jansson.h>
#include <sodium.h>

#include "fuzz.h"
#include "room.h"
#include "transfer/backup_internal.h"

static struct backup_folder *folder;
static struct room_path list_path;

static void set_up(void)
{
    struct room_path path = room_path("backup");
    struct fail why;

    room_must(sodium_init() >= 0, "sodium", NULL);
    room_must(backup_folder_open(path.text, true, &folder, &why), "folder", &why);
    list_path = room_path("backup/backup-0000000001.json");
    room_write(room_path("backup/file.1").text, SLICE("hello"));
}

/* As the writer of a list would have it. */
static void write_mended(struct slice text)
{
    unsigned char digest[32];
    char hex[65];
    json_t *all = json_loadb(text.ptr != NULL ? text.ptr : "", text.len, 0, NULL);
    char *plain;

    if (!json_is_object(all)) {
        json_decref(all);
        room_write(list_path.text, text);
        return;
    }
    (void)json_object_del(all, "blake2b");
    plain = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    (void)crypto_generichash(digest, sizeof digest, (const unsigned char *)plain, strlen(plain), NULL, 0);
    free(plain);
    (void)json_object_set_new(all, "blake2b", json_string(sodium_bin2hex(hex, sizeof hex, digest, sizeof digest)));
    plain = json_dumps(all, 0);
    room_write(list_path.text, slice_of(plain));
    free(plain);
    json_decref(all);
}

static void check_list(const struct backup_list *l)
{
    struct backup_list *again;
    struct buf text;
    struct fail why;

    for (size_t i = 0; i < l->count; i++) {
        const char *stored = l->files[i].stored;
        FUZZ_CHECK(stored[0] != '/' && strncmp(stored, "../", 3) != 0 && strstr(stored, "/../") == NULL && l->files[i].name[0] != '/');
        (void)backup_file_verify(folder, &l->files[i], NULL, &why);
    }
    buf_init(&text, 1 << 24);
    if (backup_list_write(l, &text)) {
        room_write(list_path.text, buf_slice(&text));
        FUZZ_CHECK(backup_list_load(folder, 1, &again, &why));
        FUZZ_CHECK(again->count == l->count && again->made == l->made && strcmp(again->hostname, l->hostname) == 0);
        for (size_t i = 0; i < l->count; i++)
            FUZZ_CHECK(strcmp(again->files[i].digest, l->files[i].digest) == 0 && again->files[i].bytes == l->files[i].bytes);
        backup_list_free(&again);
    }
    buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    struct backup_list *l;
    struct fail why;

    if (folder == NULL)
        set_up();
    if (fuzz_take(&in) % 2 != 0)
        write_mended(in);
    else
        room_write(list_path.text, in);
    if (backup_list_load(folder, 1, &l, &why)) {
        check_list(l);
        backup_list_free(&l);
    }
    return 0;
}
