/* minutes: finds where an assembly spoke about something, in the minutes of all its meetings.
 *
 *   input   text in UTF-8: meetings one after the other, each begun by a line `# title`
 *   output  the ten best meetings, tab separated: rank, score, title, the line that matches best
 *   exit    0; 1 when no meeting matches
 *
 * Arguments: the words looked for, in any case; a word ending in `*` stands for all that begin so.
 *
 * Ranked by BM25 (Robertson and Zaragoza 2009) with k1 = 1.2, b = 0.75. Words are runs of letters and digits; letters
 * beyond ASCII count as letters, and those of Latin-1 lose their case.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS_MAX = 16, TERM_BYTES_MAX = 64, BEST = 10, INPUT_BYTES_MAX = 8 << 20 };

struct meeting {
    const char *title, *best_line;
    size_t title_size, best_line_size, best_hits;
    unsigned words, hits[TERMS_MAX];
    double score;
};

struct term {
    char text[TERM_BYTES_MAX];
    size_t size;
    int is_prefix;
    unsigned meetings;
};

static char text[INPUT_BYTES_MAX + 1];
static struct term terms[TERMS_MAX];
static int term_count;

static int is_word(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* A to Z, and the letters from À to Þ but for ×, to lower case, in place. */
static void lower(char *at, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)at[i], next = i + 1 < size ? (unsigned char)at[i + 1] : 0;
        if (c >= 'A' && c <= 'Z') at[i] = (char)(c + 32);
        else if (c == 0xC3 && next >= 0x80 && next <= 0x9E && next != 0x97) at[++i] = (char)(next + 32);
    }
}

static int matches(const struct term *t, const char *word, size_t size) {
    return (t->is_prefix ? size >= t->size : size == t->size) && !memcmp(word, t->text, t->size);
}

/* Count the words of one line into the meeting; how many of them were looked for. */
static size_t count_words(struct meeting *m, const char *line, size_t size) {
    size_t found = 0;
    for (size_t i = 0; i < size;) {
        if (!is_word((unsigned char)line[i])) { i++; continue; }
        size_t start = i;
        while (i < size && is_word((unsigned char)line[i])) i++;
        m->words++;
        for (int t = 0; t < term_count; t++)
            if (matches(&terms[t], line + start, i - start)) { m->hits[t]++; found++; }
    }
    return found;
}

static int by_score(const void *one, const void *other) {
    const struct meeting *a = one, *b = other;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->title < b->title ? -1 : a->title > b->title; /* the earlier meeting first */
}

int main(int argc, char *argv[]) {
    struct meeting *meetings = NULL;
    size_t count = 0, room = 0;
    if (argc < 2 || argc > TERMS_MAX + 1) { fputs("usage: minutes WORD ... (1 to 16) <minutes.txt\n", stderr); return 2; }
    for (int i = 1; i < argc; i++) {
        struct term *t = &terms[term_count++];
        t->size = strlen(argv[i]);
        if (t->size && argv[i][t->size - 1] == '*') { t->is_prefix = 1; t->size--; }
        if (!t->size || t->size >= TERM_BYTES_MAX) { fprintf(stderr, "not a word: '%s'\n", argv[i]); return 2; }
        memcpy(t->text, argv[i], t->size);
        lower(t->text, t->size);
    }
    size_t size = fread(text, 1, INPUT_BYTES_MAX, stdin);
    char *folded = malloc(size + 1);
    if (!folded) { fputs("no memory left\n", stderr); return 1; }
    memcpy(folded, text, size);
    lower(folded, size);

    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - (text + at)) : size - at;
        const char *line = text + at;
        if (length >= 2 && line[0] == '#' && line[1] == ' ') {
            if (count == room && !(meetings = realloc(meetings, (room = room ? 2 * room : 64) * sizeof *meetings))) {
                fputs("no memory left\n", stderr);
                return 1;
            }
            meetings[count++] = (struct meeting){.title = line + 2, .title_size = length - 2};
        }
        if (count) {
            struct meeting *m = &meetings[count - 1];
            size_t found = count_words(m, folded + at, length);
            if (found > m->best_hits) { m->best_hits = found; m->best_line = line; m->best_line_size = length; }
        }
        at += length + 1;
    }
    double words = 0;
    for (size_t i = 0; i < count; i++) {
        words += meetings[i].words;
        for (int t = 0; t < term_count; t++) terms[t].meetings += meetings[i].hits[t] > 0;
    }
    for (size_t i = 0; i < count; i++)
        for (int t = 0; t < term_count; t++) {
            double n = terms[t].meetings, f = meetings[i].hits[t];
            double rarity = log(1 + ((double)count - n + 0.5) / (n + 0.5));
            double length = 1 - 0.75 + 0.75 * meetings[i].words / (words / (double)count);
            meetings[i].score += rarity * f * 2.2 / (f + 1.2 * length);
        }
    if (count) qsort(meetings, count, sizeof *meetings, by_score);
    size_t shown = 0;
    for (; shown < count && shown < BEST && meetings[shown].score > 0; shown++)
        printf("%zu\t%.4f\t%.*s\t%.*s\n", shown + 1, meetings[shown].score, (int)meetings[shown].title_size,
               meetings[shown].title, (int)meetings[shown].best_line_size, meetings[shown].best_line);
    if (!shown) fputs("no meeting matches\n", stderr);
    return fflush(stdout) || !shown ? 1 : 0;
}
