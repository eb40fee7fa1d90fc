/*
 * gzip for stored bodies (libdeflate). Any thread; (de)compressors are kept one per thread.
 */
#ifndef CACHE_COMPRESS_H
#define CACHE_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Is this media type worth compressing (text, JSON, XML, JavaScript, SVG …; parameters
 * ignored)? */
bool compress_type(struct str content_type);

/* gzip of body appended to out; false (out unchanged) when it would not save at least 10 %. */
bool compress_gzip(struct str body, struct strbuf *out);

/* Inflates a gzip body of known length into out (exactly `length` bytes appended); false when
 * it does not check out. */
bool compress_inflate(struct str gz, size_t length, struct strbuf *out);

#endif
