/* A .rknn file: 64 bytes of header ("RKNN", at 8 the version and at 16 the size of what follows,
 * both u64), the network, then the length of a JSON text (u64) and that text. The text names the
 * tensors in order, first the input, and the chip. Files of tools/board/model.py have in the same
 * text "emulated": {"latency_ms": ...}.
 */
#define _GNU_SOURCE
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 64
#define LATENCY_MS 13.6 /* YOLOv8n, int8, 640x640, one core: for files that do not say */

/* The value behind "key": within [text, end), or NULL. */
static const char *behind(const char *text, const char *end, const char *key)
{
    char quoted[64];
    int length = snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *found = memmem(text, (size_t)(end - text), quoted, (size_t)length);
    if (!found)
        return NULL;
    found += length;
    return found + strspn(found, " ");
}

static int read_string(char *out, size_t size, const char *value)
{
    const char *end = value && *value == '"' ? strchr(value + 1, '"') : NULL;
    if (!end || (size_t)(end - value) > size)
        return 0;
    memcpy(out, value + 1, (size_t)(end - value - 1));
    out[end - value - 1] = 0;
    return 1;
}

/* One entry of "norm_tensor"; *text moves behind it. */
static int read_tensor(tensor *out, const char **text, const char *end)
{
    const char *size = behind(*text, end, "size"), *url = behind(*text, end, "url");
    if (!size || *size != '[' || !read_string(out->name, sizeof out->name, url))
        return 0;
    out->n_dims = 0;
    out->elements = 1;
    for (char *next = (char *)size; *next != ']' && out->n_dims < 4; out->n_dims++) {
        unsigned long side = strtoul(next + 1, &next, 10);
        if (side == 0 || side > 1 << 20)
            return 0;
        out->dims[out->n_dims] = (uint32_t)side;
        out->elements *= (uint32_t)side;
        next += strspn(next, " ");
    }
    *text = url > size ? url : size;
    return 1;
}

const char *model_read(model *out, const uint8_t *file, size_t size)
{
    uint64_t version, network, length;
    if (size < HEADER || memcmp(file, "RKNN", 4) != 0)
        return "Invalid RKNN format";
    memcpy(&version, file + 8, 8);
    memcpy(&network, file + 16, 8);
    if (version > 6)
        return "Invalid RKNN model version 7";
    if (network > size - HEADER || size - HEADER - network < 8)
        return "Model data is truncated";
    memcpy(&length, file + HEADER + network, 8);
    if (length > size - HEADER - network - 8)
        return "Model data is truncated";
    /* A copy, so that it ends with a zero. */
    char *json = strndup((const char *)file + HEADER + network + 8, length);
    if (!json)
        return "Out of memory";
    const char *end = json + strlen(json), *text = behind(json, end, "norm_tensor");
    const char *platform = behind(json, end, "target_platform");
    const char *latency = behind(json, end, "latency_ms");
    const char *problem = NULL;
    memset(out, 0, sizeof *out);
    out->latency_ms = latency ? strtod(latency, NULL) : LATENCY_MS;
    if (!platform || !read_string(out->platform, sizeof out->platform, platform + 1))
        problem = "Model names no target platform";
    else if (!text || !read_tensor(&out->input, &text, end) || out->input.n_dims != 4)
        problem = "Model has no input";
    while (!problem && out->n_outputs < MOST_OUTPUTS
           && read_tensor(&out->outputs[out->n_outputs], &text, end))
        out->n_outputs++;
    free(json);
    return problem ? problem : out->n_outputs ? NULL : "Model has no outputs";
}
