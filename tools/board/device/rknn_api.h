/* The part of the vendor's C interface that its Python package calls, by layout and by number. */
#ifndef RKNN_API_H
#define RKNN_API_H

#include <stdint.h>

enum {
    RKNN_SUCC = 0,
    RKNN_ERR_FAIL = -1,
    RKNN_ERR_PARAM_INVALID = -5,
    RKNN_ERR_MODEL_INVALID = -6,
    RKNN_ERR_CTX_INVALID = -7,
    RKNN_ERR_INPUT_INVALID = -8,
    RKNN_ERR_OUTPUT_INVALID = -9,
    RKNN_ERR_TARGET_PLATFORM_UNMATCH = -12,
};

enum {
    RKNN_QUERY_IN_OUT_NUM = 0,
    RKNN_QUERY_INPUT_ATTR = 1,
    RKNN_QUERY_OUTPUT_ATTR = 2,
    RKNN_QUERY_SDK_VERSION = 5,
};

enum { RKNN_TENSOR_NCHW = 0, RKNN_TENSOR_NHWC = 1 };
enum { RKNN_TENSOR_INT8 = 2, RKNN_TENSOR_UINT8 = 3 };
enum { RKNN_QNT_AFFINE = 2 };

typedef uint64_t rknn_context;

typedef struct {
    uint32_t n_input, n_output;
} rknn_input_output_num;

typedef struct {
    uint32_t index, n_dims, dims[16];
    char name[256];
    uint32_t n_elems, size;
    uint32_t fmt, type, qnt_type;
    int8_t fl;
    int32_t zp;
    float scale;
    uint32_t w_stride, size_with_stride;
    uint8_t pass_through;
    uint32_t h_stride;
} rknn_tensor_attr;

_Static_assert(sizeof(rknn_tensor_attr) == 376, "the layout of the vendor's tensor attributes");

typedef struct {
    char api_version[256], drv_version[256];
} rknn_sdk_version;

typedef struct {
    uint32_t index;
    void *buf;
    uint32_t size;
    uint8_t pass_through;
    uint32_t type, fmt;
} rknn_input;

typedef struct {
    uint8_t want_float, is_prealloc;
    uint32_t index;
    void *buf;
    uint32_t size;
} rknn_output;

#endif
