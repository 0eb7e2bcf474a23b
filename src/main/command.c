/*
 * main/command.c - what people type: finding the command, its options, its help.
 *
 * Layer: main.
 */
#include "main/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin.h"
#include "main/commands.h"
#include "main/config.h"

/* ---- help ---- */

static void print_name(FILE *out, const struct command *c)
{
    fprintf(out, "posthorn %s%s%s%s%s", c->noun, c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
            c->arguments[0] != '\0' ? " " : "", c->arguments);
}

static void print_option(FILE *out, const struct command_option *o)
{
    int width = fprintf(out, "  --%s%s%s", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");

    fprintf(out, "%*s%s\n", width < 26 ? 26 - width : 1, "", o->help);
}

static const struct command_option common_options[] = {
    {"config", "FILE", "the config file (" CONFIG_DEFAULT_PATH ", or $POSTHORN_CONFIG)"},
    {"json", NULL, "answer in JSON"},
    {"help", NULL, "this help"},
};

static void print_command_help(const struct command *c)
{
    printf("usage: ");
    print_name(stdout, c);
    printf(" [options]\n\n%s\n\n", c->help);
    for (size_t i = 0; i < OPTIONS_MAX && c->options[i].name != NULL; i++)
        print_option(stdout, &c->options[i]);
    for (size_t i = 0; i < ARRAY_LEN(common_options); i++)
        print_option(stdout, &common_options[i]);
}

/* All commands, or those of one noun. */
static void print_commands(FILE *out, const char *noun)
{
    fprintf(out, "usage: posthorn COMMAND [--help]\n\n");
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &commands[i];
        if (noun != NULL && strcmp(noun, c->noun) != 0)
            continue;
        int width = fprintf(out, "  %s%s%s%s%s", c->noun, c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
                            c->arguments[0] != '\0' ? " " : "", c->arguments);
        fprintf(out, "%*s%s\n", width < 34 ? 34 - width : 1, "", c->help);
    }
    fprintf(out, "\nposthorn(1) and posthorn.conf(5) say more.\n");
}

/* ---- what was typed ---- */

static const struct command *find_command(int argc, char **argv, size_t *words)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &commands[i];
        if (argc < 2 || strcmp(argv[1], c->noun) != 0)
            continue;
        if (c->verb == NULL || (argc > 2 && strcmp(argv[2], c->verb) == 0)) {
            *words = c->verb == NULL ? 2 : 3;
            return c;
        }
    }
    return NULL;
}

static bool is_noun(const char *word)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].noun, word) == 0)
            return true;
    }
    return false;
}

/* The option called `name`: among the command's, or NULL. */
static const struct command_option *find_option(const struct command *c, struct slice name)
{
    for (size_t i = 0; i < OPTIONS_MAX && c->options[i].name != NULL; i++) {
        if (slice_eq(slice_of(c->options[i].name), name))
            return &c->options[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(common_options); i++) {
        if (slice_eq(slice_of(common_options[i].name), name))
            return &common_options[i];
    }
    return NULL;
}

static void set_option(struct cli *cli, const struct command_option *o, const char *value, bool *help)
{
    if (o == &common_options[0])
        cli->config_path = value;
    else if (o == &common_options[1])
        cli->json = true;
    else if (o == &common_options[2])
        *help = true;
    else
        cli->values[o - cli->command->options] = value;
}

/* "--name", "--name VALUE" or "--name=VALUE" at argv[*at]; moves *at over a value of its own. */
static bool take_option(struct cli *cli, int argc, char **argv, int *at, bool *help)
{
    struct slice                 rest = slice_of(argv[*at] + 2), name = slice_cut(&rest, '=');
    bool                         joined = strchr(argv[*at], '=') != NULL;
    const struct command_option *o = find_option(cli->command, name);

    if (o == NULL) {
        (void)cli_usage(cli, "no such option: --" PRIslice, SLICE_ARG(name));
        return false;
    }
    if (o->value == NULL && joined) {
        (void)cli_usage(cli, "--%s takes no value", o->name);
        return false;
    }
    if (o->value == NULL) {
        set_option(cli, o, "", help);
    } else if (joined) {
        set_option(cli, o, rest.ptr, help); /* the rest of an argv word: NUL-terminated */
    } else if (*at + 1 < argc) {
        set_option(cli, o, argv[++*at], help);
    } else {
        (void)cli_usage(cli, "--%s needs a value: %s", o->name, o->value);
        return false;
    }
    return true;
}

static bool take_words(struct cli *cli, int argc, char **argv, int from, bool *help)
{
    bool options_over = false;

    for (int at = from; at < argc; at++) {
        if (!options_over && strcmp(argv[at], "--") == 0) {
            options_over = true;
        } else if (!options_over && strncmp(argv[at], "--", 2) == 0) {
            if (!take_option(cli, argc, argv, &at, help))
                return false;
        } else if (!options_over && strcmp(argv[at], "-v") == 0 && find_option(cli->command, SLICE("verbose")) != NULL) {
            set_option(cli, find_option(cli->command, SLICE("verbose")), "", help);
        } else if (!options_over && strcmp(argv[at], "-h") == 0) {
            *help = true;
        } else if (!options_over && argv[at][0] == '-' && argv[at][1] != '\0') {
            (void)cli_usage(cli, "no such option: %s", argv[at]);
            return false;
        } else {
            cli->arguments[cli->argument_count++] = argv[at];
        }
    }
    return true;
}

static int run_command(struct cli *cli, int argc, char **argv, int from)
{
    bool help = false;

    if (cli->command->most == RAW_WORDS) {
        cli->argument_count = (size_t)(argc - from);
        for (int i = from; i < argc; i++)
            cli->arguments[i - from] = argv[i];
        return cli->command->run(cli);
    }
    if (!take_words(cli, argc, argv, from, &help))
        return USAGE;
    if (help) {
        print_command_help(cli->command);
        return DONE;
    }
    if (cli->argument_count < cli->command->least)
        return cli_usage(cli, "too few arguments");
    if (cli->argument_count > cli->command->most)
        return cli_usage(cli, "too many arguments: %s", cli->arguments[cli->command->most]);
    int status = cli->command->run(cli);
    if (fflush(stdout) != 0)
        status = FAILED;
    return status;
}

int command_main(int argc, char **argv)
{
    const char *environment = getenv("POSTHORN_CONFIG");
    struct cli  cli = {.config_path = environment != NULL ? environment : CONFIG_DEFAULT_PATH};
    size_t      words;

    cli.command = find_command(argc, argv, &words);
    if (cli.command == NULL) {
        bool asked = argc > 1 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0 ||
                                  strcmp(argv[1], "help") == 0);
        if (!asked && argc > 1 && !is_noun(argv[1]))
            fprintf(stderr, "posthorn: no such command: %s\n", argv[1]);
        print_commands(asked ? stdout : stderr, argc > 1 && is_noun(argv[1]) ? argv[1] : NULL);
        return asked ? DONE : USAGE;
    }
    cli.arguments = xcalloc((size_t)argc, sizeof *cli.arguments);
    int status = run_command(&cli, argc, argv, (int)words);
    free(cli.arguments);
    return status;
}

/* ---- for the commands ---- */

const char *cli_option(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < OPTIONS_MAX && cli->command->options[i].name != NULL; i++) {
        if (strcmp(cli->command->options[i].name, name) == 0)
            return cli->values[i];
    }
    bug("command %s has no option --%s", cli->command->noun, name);
}

bool cli_number(const struct cli *cli, const char *name, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out)
{
    const char *value = cli_option(cli, name);

    *out = otherwise;
    if (value == NULL || (slice_to_u64(slice_of(value), high, out) && *out >= low))
        return true;
    (void)cli_usage(cli, "--%s is a number from %llu to %llu", name, (unsigned long long)low,
                    (unsigned long long)high);
    return false;
}

static void print_json(FILE *out, const json_t *value)
{
    (void)json_dumpf(value, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    (void)fputc('\n', out);
}

int cli_failed(const struct cli *cli, const struct fail *why)
{
    if (cli->json) {
        json_t *answer = json_pack("{s:o, s:b}", "error", admin_json(slice_of(why->text)), "temporary",
                                   why->kind == FAIL_TEMP);
        print_json(stdout, answer);
        json_decref(answer);
    } else {
        fprintf(stderr, "posthorn: %s\n", why->text);
    }
    return FAILED;
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "posthorn: ");
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: ");
    print_name(stderr, cli->command);
    fprintf(stderr, " [options]   (--help says more)\n");
    return USAGE;
}

int cli_done(const struct cli *cli, const json_t *result, const char *fmt, ...)
{
    va_list ap;

    if (cli->json) {
        print_json(stdout, result);
    } else {
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
    }
    return DONE;
}

bool cli_config(const struct cli *cli, struct config **out)
{
    struct fail why;

    if (config_load(cli->config_path, out, &why))
        return true;
    if (why.reason == FAIL_NOT_FOUND)
        (void)fail_at(&why, "no config (posthorn init makes one; --config names another)");
    (void)cli_failed(cli, &why);
    return false;
}
