/* battery: how large a battery should an energy cooperative buy?
 *
 * Simulates its houses, its solar roof and a shared battery hour by hour over many possible years, and says for each
 * battery size how much must be bought from the grid and how often the lights would go out with the grid down.
 *
 *   input   24 lines `hour,load,sun`: what the houses use on average in that hour of the day, and what the roof yields
 *           in that hour under a clear summer sky, both in watt hours
 *   output  CSV, one line for each battery size: kWh, kWh bought in an average year, percent of hours without power
 *           when there is no grid
 *   exit    0; 1 when the input is wrong; 2 when the arguments are
 *
 * Arguments: YEARS SEED KWH ... (1 to 1000 years, up to 16 sizes).
 *
 * Chance: clouds last, so each day's sky leans on the day before; each hour's load varies by a quarter. It is drawn
 * from splitmix64 (Steele, Lea and Flood 2014) begun by SEED, the same for every size, so that sizes compare.
 * Everything is in whole watt hours: the same job gives the same bytes on every machine.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZES_MAX = 16, DAYS = 365, HOURS = 24, EFFICIENCY_PERCENT = 90 };

/* Clear-sky yield by month in a temperate country, in percent of July. */
static const int season[12] = {25, 38, 58, 78, 92, 99, 100, 90, 70, 47, 29, 21};

static uint64_t drawn;

static uint64_t draw(uint64_t below) {
    uint64_t z = drawn += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % below;
}

static int64_t number(const char *text, int64_t least, int64_t most, const char *what) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (!*text || *end || value < least || value > most) {
        fprintf(stderr, "%s is a whole number from %lld to %lld: '%s'\n", what, (long long)least, (long long)most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char *argv[]) {
    static int64_t load[HOURS], sun[HOURS], charge[2][SIZES_MAX], bought[SIZES_MAX], dark[SIZES_MAX], size[SIZES_MAX];
    if (argc < 4 || argc > 3 + SIZES_MAX) { fputs("usage: battery YEARS SEED KWH ... <day.csv\n", stderr); return 2; }
    int64_t years = number(argv[1], 1, 1000, "YEARS");
    drawn = (uint64_t)number(argv[2], 0, INT64_MAX, "SEED");
    int sizes = argc - 3;
    for (int s = 0; s < sizes; s++) size[s] = 1000 * number(argv[3 + s], 0, 100000, "KWH");
    for (int hour = 0; hour < HOURS; hour++) {
        long long named, used, made;
        if (scanf("%lld,%lld,%lld", &named, &used, &made) != 3 || named != hour || used < 0 || made < 0 ||
            used > 1000000000 || made > 1000000000) {
            fprintf(stderr, "line %d: wants `%d,load,sun` in watt hours\n", hour + 1, hour);
            return 1;
        }
        load[hour] = used;
        sun[hour] = made;
    }
    for (int64_t year = 0; year < years; year++) {
        int64_t sky = 60; /* percent of the clear sky */
        for (int day = 0; day < DAYS; day++) {
            int64_t news = 10 + (int64_t)draw(91);
            sky = (sky + 2 * news) / 3;
            int month = day * 12 / DAYS;
            for (int hour = 0; hour < HOURS; hour++) {
                int64_t used = load[hour] * (75 + (int64_t)draw(51)) / 100;
                int64_t made = sun[hour] * season[month] / 100 * sky / 100;
                for (int s = 0; s < sizes; s++)
                    for (int grid = 0; grid < 2; grid++) {
                        int64_t *left = &charge[grid][s], missing = used - made;
                        if (missing <= 0) {
                            *left += -missing * EFFICIENCY_PERCENT / 100;
                            if (*left > size[s]) *left = size[s];
                        } else if (missing <= *left) {
                            *left -= missing;
                        } else if (grid) {
                            bought[s] += missing - *left;
                            *left = 0;
                        } else {
                            dark[s]++; /* the breaker opens; what is left waits for the next hour */
                        }
                    }
            }
        }
    }
    puts("battery_kwh,bought_kwh_per_year,hours_dark_percent");
    for (int s = 0; s < sizes; s++) {
        int64_t hours = years * DAYS * HOURS, share = dark[s] * 10000 / hours, kwh = bought[s] / years / 1000;
        printf("%lld,%lld,%lld.%02lld\n", (long long)(size[s] / 1000), (long long)kwh, (long long)(share / 100),
               (long long)(share % 100));
    }
    return fflush(stdout) ? 1 : 0;
}
