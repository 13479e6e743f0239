/* harvest: adds up a season's deliveries, as a producers' cooperative does before it pays its members.
 *
 *   input   CSV with a header naming the columns date, member, crop, kg and price, in any order, others beside them.
 *           kg and price have up to three decimals; fields may be quoted as RFC 4180 says.
 *   output  CSV: one line for each member and crop, sorted, with deliveries, kilograms and what is owed, and a line
 *           `TOTAL`. Amounts are exact: thousandths inside, never binary fractions; what is owed is rounded half up
 *           to cents for each delivery, as it stands on the member's slip.
 *   exit    0; 1 when a line is wrong: it is named on standard error and nothing is written, because a sum that leaves
 *           out a delivery is worse than none.
 *
 * Arguments: `--from YYYY-MM-DD` and `--to YYYY-MM-DD`, both inclusive, limit the season.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 64, LINE_BYTES_MAX = 1 << 16 };

struct sum {
    char *member, *crop;
    uint64_t deliveries, grams, cents;
};

static struct sum *sums;
static size_t sum_count, sum_room;
static unsigned long line_number;

static void fail(const char *why, const char *what) {
    fprintf(stderr, "line %lu: %s: '%s'\n", line_number, why, what);
    exit(1);
}

static void *room(void *old, size_t bytes) {
    void *got = realloc(old, bytes);
    if (got == NULL) fail("no memory left", "");
    return got;
}

/* Read one record, which may span lines where a field is quoted. The fields point into `text`. -1 at the end. */
static int read_record(char *text, char *fields[]) {
    int count = 0, quoted = 0, c;
    size_t used = 0;
    char *start = text;
    c = getchar();
    if (c == EOF) return -1;
    line_number++;
    for (;; c = getchar()) {
        if (used >= LINE_BYTES_MAX - 2) fail("longer than a record may be", "");
        if (quoted) {
            if (c == EOF) fail("a quoted field does not end", start);
            if (c == '"') {
                c = getchar();
                if (c == '"') { text[used++] = '"'; continue; }
                quoted = 0;
            } else {
                if (c == '\n') line_number++;
                text[used++] = (char)c;
                continue;
            }
        }
        if (c == '"' && text + used == start) { quoted = 1; continue; }
        if (c == '\r') continue;
        if (c == ',' || c == '\n' || c == EOF) {
            if (count == FIELDS_MAX) fail("more fields than a record may have", start);
            text[used++] = 0;
            fields[count++] = start;
            start = text + used;
            if (c != ',') return count;
            continue;
        }
        text[used++] = (char)c;
    }
}

static uint64_t thousandths(const char *text, const char *what) {
    uint64_t value = 0;
    int digits = 0, decimals = -1;
    for (const char *at = text; *at; at++) {
        if (*at == '.' && decimals < 0) { decimals = 0; continue; }
        if (*at < '0' || *at > '9' || ++digits > 15) fail(what, text);
        if (decimals >= 0 && ++decimals > 3) fail(what, text);
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (digits == 0) fail(what, text);
    for (int left = 3 - (decimals < 0 ? 0 : decimals); left > 0; left--) value *= 10;
    return value;
}

static void check_date(const char *text) {
    if (strlen(text) != 10) fail("a date is YYYY-MM-DD", text);
    for (int i = 0; i < 10; i++)
        if ((i == 4 || i == 7) ? text[i] != '-' : (text[i] < '0' || text[i] > '9')) fail("a date is YYYY-MM-DD", text);
    int month = atoi(text + 5), day = atoi(text + 8);
    if (month < 1 || month > 12 || day < 1 || day > 31) fail("no such date", text);
}

static int by_member_and_crop(const void *one, const void *other) {
    const struct sum *a = one, *b = other;
    int order = strcmp(a->member, b->member);
    return order ? order : strcmp(a->crop, b->crop);
}

static struct sum *sum_of(const char *member, const char *crop) {
    for (size_t i = sum_count; i-- > 0;)
        if (!strcmp(sums[i].member, member) && !strcmp(sums[i].crop, crop)) return &sums[i];
    if (sum_count == sum_room) sums = room(sums, (sum_room = sum_room ? 2 * sum_room : 64) * sizeof *sums);
    sums[sum_count] = (struct sum){strdup(member), strdup(crop), 0, 0, 0};
    if (!sums[sum_count].member || !sums[sum_count].crop) fail("no memory left", "");
    return &sums[sum_count++];
}

static void write_field(const char *text) {
    if (!strpbrk(text, ",\"\r\n")) { fputs(text, stdout); return; }
    putchar('"');
    for (; *text; text++) { if (*text == '"') putchar('"'); putchar(*text); }
    putchar('"');
}

static void write_sum(const struct sum *s) {
    write_field(s->member);
    putchar(',');
    write_field(s->crop);
    printf(",%llu,%llu.%03llu,%llu.%02llu\n", (unsigned long long)s->deliveries, (unsigned long long)(s->grams / 1000),
           (unsigned long long)(s->grams % 1000), (unsigned long long)(s->cents / 100),
           (unsigned long long)(s->cents % 100));
}

int main(int argc, char *argv[]) {
    static char text[LINE_BYTES_MAX];
    static const char *const names[] = {"date", "member", "crop", "kg", "price"};
    char *fields[FIELDS_MAX];
    const char *from = "", *to = "";
    int at[5], columns;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && !strcmp(argv[i], "--from")) check_date(from = argv[i + 1]);
        else if (i + 1 < argc && !strcmp(argv[i], "--to")) check_date(to = argv[i + 1]);
        else { fputs("usage: harvest [--from YYYY-MM-DD] [--to YYYY-MM-DD] <deliveries.csv\n", stderr); return 2; }
    }
    columns = read_record(text, fields);
    for (int name = 0; name < 5; name++) {
        at[name] = -1;
        for (int i = 0; i < columns; i++) if (!strcmp(fields[i], names[name])) at[name] = i;
        if (at[name] < 0) fail("the header lacks a column", names[name]);
    }
    for (int count; (count = read_record(text, fields)) >= 0;) {
        if (count == 1 && !*fields[0]) continue;
        if (count != columns) fail("has another number of fields than the header", fields[0]);
        const char *date = fields[at[0]];
        check_date(date);
        uint64_t grams = thousandths(fields[at[3]], "kilograms have up to three decimals");
        uint64_t price = thousandths(fields[at[4]], "a price has up to three decimals");
        if (price && grams > (UINT64_MAX - 5000) / price) fail("is more than can be added up", fields[at[3]]);
        if ((*from && strcmp(date, from) < 0) || (*to && strcmp(date, to) > 0)) continue;
        if (!*fields[at[1]]) fail("a delivery has a member", "");
        struct sum *s = sum_of(fields[at[1]], fields[at[2]]);
        s->deliveries++;
        s->grams += grams;
        s->cents += (grams * price + 5000) / 10000;
    }
    struct sum total = {"TOTAL", "", 0, 0, 0};
    if (sum_count) qsort(sums, sum_count, sizeof *sums, by_member_and_crop);
    puts("member,crop,deliveries,kg,owed");
    for (size_t i = 0; i < sum_count; i++) {
        write_sum(&sums[i]);
        total.deliveries += sums[i].deliveries;
        total.grams += sums[i].grams;
        total.cents += sums[i].cents;
    }
    write_sum(&total);
    return fflush(stdout) ? 1 : 0;
}
