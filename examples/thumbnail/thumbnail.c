/* thumbnail: makes a picture smaller, for the shop page of a cooperative.
 *
 *   input   PNG, JPEG, BMP, GIF or PNM, of at most 64 million pixels
 *   output  PNG, no larger than WIDTH x HEIGHT, its proportions kept; a smaller picture keeps its size
 *   exit    0; 1 when the input is no picture; 2 when the arguments are wrong
 *
 * Arguments: WIDTH HEIGHT.
 *
 * Decoding, scaling and encoding are those of stb (Sean Barrett and others, public domain), as Debian packages it.
 */
#include <stdio.h>
#include <stdlib.h>

#define STBI_NO_STDIO
#define STBI_NO_THREAD_LOCALS
#define STBI_NO_SIMD
#define STBI_MAX_DIMENSIONS 32768
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include <stb/stb_image_resize.h>
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

enum { SIDE_MAX = 8192, PIXELS_MAX = 64000000, INPUT_BYTES_MAX = 8 << 20 };

static int side(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    return *text && !*end && value >= 1 && value <= SIDE_MAX ? (int)value : 0;
}

static int complain(int code, const char *why) {
    fprintf(stderr, "%s\n", why);
    return code;
}

static void write_out(void *context, void *data, int size) {
    if (fwrite(data, 1, (size_t)size, stdout) != (size_t)size) *(int *)context = 1;
}

int main(int argc, char *argv[]) {
    int most_wide = argc == 3 ? side(argv[1]) : 0, most_high = argc == 3 ? side(argv[2]) : 0;
    int width, height, channels, failed = 0;
    if (!most_wide || !most_high) return complain(2, "usage: thumbnail WIDTH HEIGHT <picture (each 1 to 8192)");

    unsigned char *input = malloc(INPUT_BYTES_MAX);
    if (!input) return complain(1, "no memory left");
    size_t size = fread(input, 1, INPUT_BYTES_MAX, stdin);
    if (!stbi_info_from_memory(input, (int)size, &width, &height, &channels)) return complain(1, stbi_failure_reason());
    if ((long long)width * height > PIXELS_MAX) return complain(1, "more pixels than are accepted");
    unsigned char *picture = stbi_load_from_memory(input, (int)size, &width, &height, &channels, 0);
    if (!picture) return complain(1, stbi_failure_reason());
    free(input);

    int wide = width, high = height;
    if (wide > most_wide || high > most_high) {
        /* The side that must shrink more decides; the other is rounded to the nearest pixel, and never to none. */
        if ((long long)width * most_high > (long long)height * most_wide) {
            wide = most_wide;
            high = (int)(((long long)height * most_wide + width / 2) / width);
        } else {
            high = most_high;
            wide = (int)(((long long)width * most_high + height / 2) / height);
        }
        if (wide < 1) wide = 1;
        if (high < 1) high = 1;
    }
    unsigned char *small = malloc((size_t)wide * (size_t)high * (size_t)channels);
    int alpha = channels == 2 || channels == 4 ? channels - 1 : STBIR_ALPHA_CHANNEL_NONE;
    if (!small || !stbir_resize_uint8_srgb(picture, width, height, 0, small, wide, high, 0, channels, alpha, 0))
        return complain(1, "no memory left");
    if (!stbi_write_png_to_func(write_out, &failed, wide, high, channels, small, 0) || failed || fflush(stdout))
        return complain(1, "the picture could not be written");
    return 0;
}
