/* The emulated NPU: its cores' time, what it is told to do wrong, and the record of its calls. */
#ifndef NPU_H
#define NPU_H

#include <stdint.h>

#define AUTO (-1)


/* "rk3588", "rk3576" ... and its number of cores. */
const char *npu_chip(void);
int npu_cores(void);

/* Look whether the script has a rule for this call; log, hang or crash if so. */
int npu_script(uint64_t context, int core, const char *call);

/* Queue for one of the cores in `mask`, hold it for `ns`, write both into the record. `begin` and
 * `end` are CLOCK_MONOTONIC. The caller sleeps until the end itself. */
int npu_take(uint64_t context, uint32_t mask, int64_t ns, int64_t *begin, int64_t *end);
void npu_sleep_until(int64_t end);

/* Append a line to the record. */
void npu_record(uint64_t context, int core, const char *call, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A line as the vendor's library logs it; `level` is 'E', 'W' or 'I'. */
void npu_log(char level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
