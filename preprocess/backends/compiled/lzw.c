/* TIFF's LZW: decode_strips of movies/lzw.py. TIFF 6.0, section 13. */
#include "common.h"
#include "kernels.h"

enum { CLEAR = 256, END = 257, FIRST_FREE = 258, TABLE = 4096, AT_ONCE = 8 };

/* A code's string is a piece of what is decoded already: where it begins, its length, and its first bytes, which are
   written with one instruction: most strings are shorter. */
typedef struct {
  uint64_t head;
  int64_t place;
  int64_t length;
} String;

/* The first bytes of a number, in the order of memory on any machine. */
INLINE void write_bytes(uint8_t *to, uint64_t bytes, long count) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  memcpy(to, &bytes, count);
#else
  for (long i = 0; i < count; i++) to[i] = (uint8_t)(bytes >> (8 * i));
#endif
}

/* Decode one strip, from `read` to `read_end`, to image[written:write_end]; return 0, or 1 if it is corrupt. */
static int decode_strip(const uint8_t *read, const uint8_t *read_end, uint8_t *image, int64_t written,
                        int64_t write_end, String *strings) {
  uint64_t bits = 0;
  long bit_count = 0, width = 9, free = FIRST_FREE, last = 0;
  int64_t last_place = 0, last_length = 0;
  while (written < write_end) {
    if (bit_count < width) {
      if (read_end - read >= 4) {
        bits = bits << 32 | (uint64_t)read[0] << 24 | read[1] << 16 | read[2] << 8 | read[3];
        bit_count += 32, read += 4;
      }
      for (; bit_count < width && read < read_end; bit_count += 8) bits = bits << 8 | *read++;
      if (bit_count < width) return 1;
    }
    bit_count -= width;
    long code = bits >> bit_count & ((1u << width) - 1);
    if (code == CLEAR) {
      width = 9, free = FIRST_FREE, last_length = 0;
      continue;
    }
    if (code == END) return 1;
    if (last_length && free < TABLE) {
      /* The last string and the byte after it, which is the first of the string that comes now. */
      uint64_t first = strings[code < free ? code : last].head & 0xFF, head = strings[last].head;
      if (last_length < AT_ONCE) head |= first << (8 * last_length);
      strings[free++] = (String){head, last_place, last_length + 1};
      if (free == (1 << width) - 1 && width < 12) width++;
    }
    if (code >= free) return 1;
    const String *string = strings + code;
    int64_t length = string->length, left = write_end - written;
    last = code, last_place = written, last_length = length;
    if (left >= AT_ONCE) write_bytes(image + written, string->head, AT_ONCE); /* too much: the next strings go over it */
    else write_bytes(image + written, string->head, at_most(length, left));
    /* A string of more than 8 bytes begins 8 or more before this place, so that pieces of 8 are there to be copied. */
    int64_t done = AT_ONCE, size = at_most(length, left);
    for (; done < size && done + AT_ONCE <= left; done += AT_ONCE)
      memcpy(image + written + done, image + string->place + done, AT_ONCE);
    for (; done < size; done++) image[written + done] = image[string->place + done];
    written += length;
  }
  return 0;
}

long decode_strips(const uint8_t *block, const int64_t *begins, const int64_t *counts, long strip_count, uint8_t *image,
                   int64_t image_bytes, int64_t strip_bytes) {
  String strings[TABLE];
  for (long code = 0; code < TABLE; code++) strings[code] = (String){code, 0, 1};
  for (long strip = 0; strip < strip_count; strip++) {
    const uint8_t *read = block + begins[strip];
    int64_t written = strip * strip_bytes;
    if (decode_strip(read, read + counts[strip], image, written, at_most(written + strip_bytes, image_bytes), strings))
      return strip;
  }
  return -1;
}
