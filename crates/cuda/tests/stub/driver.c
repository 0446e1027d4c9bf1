/* A libcuda.so without a GPU, for tests: the functions of a CUDA 10.2 driver that trt-cuda calls, and none of a later one.
 * "Device" memory is the host's. It is stricter than the real driver: it wants cuInit first, a current context on the
 * calling thread, handles and addresses that it gave out, and nothing left when the context goes.
 *
 * Environment:
 *   STUB_CUDA_FAIL=cuMemAlloc_v2=2   that function returns this error
 *   STUB_CUDA_DEVICES=0              so many GPUs; 1 if not set
 *   STUB_CUDA_LOG=FILE               a line for every call, with what it returned
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };
enum { MEMORY = 1 << 30, FIRST_DEVICE = 40, SLOTS = 64 };

typedef unsigned Code;
typedef uintptr_t Handle;
typedef unsigned long long Address;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int initialised, retained;
static const Handle PRIMARY = 0x1000;
static __thread Handle current;
/* Streams, events and blocks of memory; `kind` 0 is free. */
static struct thing { int kind; size_t len; void *bytes; } things[SLOTS];
enum { STREAM = 1, EVENT, BLOCK, MODULE, PINNED };

static int devices(void) {
    const char *text = getenv("STUB_CUDA_DEVICES");
    return text ? atoi(text) : 1;
}

static Code injected(const char *name) {
    const char *text = getenv("STUB_CUDA_FAIL");
    size_t len = strlen(name);
    return text && strncmp(text, name, len) == 0 && text[len] == '=' ? (Code)atoi(text + len + 1) : 0;
}

static Code done(const char *name, Code code) {
    const char *path = getenv("STUB_CUDA_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) {
        fprintf(log, "%s %u\n", name, code);
        fclose(log);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

enum needs { NOTHING, INIT, CONTEXT };

static Code ready(const char *name, enum needs needs) {
    pthread_mutex_lock(&lock);
    Code code = injected(name);
    if (!code && needs != NOTHING && !initialised) code = NOT_INITIALIZED;
    if (!code && needs == CONTEXT && (current != PRIMARY || !retained)) code = INVALID_CONTEXT;
    return code;
}

/* A function: its needs, then the body, which sets `code` if something is wrong. */
#define FUNCTION(name, arguments, needs, body)                                                                        \
    Code name arguments {                                                                                              \
        Code code = ready(#name, needs);                                                                               \
        if (!code) body                                                                                                \
        return done(#name, code);                                                                                      \
    }
#define CHECK(condition, error) do { if (!(condition)) code = error; } while (0)

/* Handles are indices from 1, shifted so that they look like addresses. */
static Handle add(int kind, size_t len) {
    for (int index = 0; index < SLOTS; index++)
        if (!things[index].kind) {
            things[index] = (struct thing){kind, len, len ? memset(malloc(len), 0xA5, len) : NULL};
            return (Handle)(index + 1) << 32;
        }
    abort();
}

static struct thing *find(Handle handle, int kind) {
    Handle index = (handle >> 32) - 1;
    return handle && index < SLOTS && !(handle & 0xffffffff) && things[index].kind == kind ? &things[index] : NULL;
}

static Code drop(Handle handle, int kind) {
    struct thing *thing = find(handle, kind);
    if (!thing) return kind == BLOCK ? INVALID_VALUE : INVALID_HANDLE;
    free(thing->bytes);
    *thing = (struct thing){0};
    return 0;
}

static size_t used(void) {
    size_t sum = 0;
    for (int index = 0; index < SLOTS; index++) sum += things[index].len;
    return sum;
}

static int empty(void) {
    for (int index = 0; index < SLOTS; index++)
        if (things[index].kind) return 0;
    return 1;
}

static Code copy(Address device, void *host, size_t len, int to_device) {
    struct thing *block = find(device, BLOCK);
    if (!block || len > block->len) return INVALID_VALUE;
    memcpy(to_device ? block->bytes : host, to_device ? host : block->bytes, len);
    return 0;
}

/* The block that holds this address, and how far inside it is. */
static struct thing *block_of(Address address, size_t *offset) {
    struct thing *block = find((Handle)(address & ~0xffffffffull), BLOCK);
    *offset = (size_t)(address & 0xffffffff);
    return block && *offset <= block->len ? block : NULL;
}

FUNCTION(cuInit, (unsigned flags), NOTHING, { CHECK(flags == 0, INVALID_VALUE); initialised = !code; })
FUNCTION(cuDriverGetVersion, (int *version), NOTHING, { *version = 10020; })
FUNCTION(cuGetErrorName, (Code error, const char **name), NOTHING, {
    *name = error == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == NOT_INITIALIZED ? "CUDA_ERROR_NOT_INITIALIZED"
            : error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT"
                                       : NULL;
    CHECK(*name, INVALID_VALUE);
})
FUNCTION(cuDeviceGetCount, (int *count), INIT, { *count = devices(); })
FUNCTION(cuDeviceGet, (int *device, int ordinal), INIT, {
    CHECK(ordinal >= 0 && ordinal < devices(), INVALID_DEVICE);
    *device = FIRST_DEVICE + ordinal;
})
FUNCTION(cuDeviceGetName, (char *name, int len, int device), INIT, {
    CHECK(device >= FIRST_DEVICE, INVALID_DEVICE);
    snprintf(name, (size_t)len, "Stub Nano");
})
FUNCTION(cuDeviceGetAttribute, (int *value, int attribute, int device), INIT, {
    /* Compute capability, major and minor, and the number of multiprocessors. All others are as if unknown to the driver. */
    CHECK(device >= FIRST_DEVICE, INVALID_DEVICE);
    CHECK(attribute == 75 || attribute == 76 || attribute == 16, INVALID_VALUE);
    *value = attribute == 75 ? 5 : attribute == 76 ? 3 : 2;
})
FUNCTION(cuDevicePrimaryCtxRetain, (Handle *context, int device), INIT, {
    CHECK(device >= FIRST_DEVICE, INVALID_DEVICE);
    retained += !code;
    *context = PRIMARY;
})
FUNCTION(cuDevicePrimaryCtxRelease, (int device), INIT, {
    CHECK(device >= FIRST_DEVICE, INVALID_DEVICE);
    CHECK(retained > 1 || empty(), INVALID_HANDLE);
    CHECK(retained > 0, INVALID_CONTEXT);
    retained -= !code;
})
FUNCTION(cuCtxSetCurrent, (Handle context), INIT, {
    CHECK(context == PRIMARY && retained, INVALID_CONTEXT);
    if (!code) current = context;
})
FUNCTION(cuStreamCreate, (Handle *stream, unsigned flags), CONTEXT, { (void)flags; *stream = add(STREAM, 0); })
FUNCTION(cuStreamSynchronize, (Handle stream), CONTEXT, { CHECK(find(stream, STREAM), INVALID_HANDLE); })
FUNCTION(cuStreamDestroy_v2, (Handle stream), CONTEXT, { code = drop(stream, STREAM); })
FUNCTION(cuEventCreate, (Handle *event, unsigned flags), CONTEXT, { (void)flags; *event = add(EVENT, 0); })
FUNCTION(cuEventRecord, (Handle event, Handle stream), CONTEXT, { CHECK(find(event, EVENT) && find(stream, STREAM), INVALID_HANDLE); })
FUNCTION(cuEventSynchronize, (Handle event), CONTEXT, { CHECK(find(event, EVENT), INVALID_HANDLE); })
FUNCTION(cuEventElapsedTime, (float *milliseconds, Handle start, Handle end), CONTEXT, {
    CHECK(find(start, EVENT) && find(end, EVENT), INVALID_HANDLE);
    *milliseconds = 1.5f;
})
FUNCTION(cuEventDestroy_v2, (Handle event), CONTEXT, { code = drop(event, EVENT); })
FUNCTION(cuMemGetInfo_v2, (size_t *free_now, size_t *total), CONTEXT, { *free_now = MEMORY - used(); *total = MEMORY; })
FUNCTION(cuMemAlloc_v2, (Address *address, size_t len), CONTEXT, {
    CHECK(len, INVALID_VALUE);
    CHECK(len <= MEMORY - used(), OUT_OF_MEMORY);
    if (!code) *address = add(BLOCK, len);
})
FUNCTION(cuMemFree_v2, (Address address), CONTEXT, { code = drop(address, BLOCK); })
FUNCTION(cuMemcpyHtoD_v2, (Address to, void *from, size_t len), CONTEXT, { code = copy(to, from, len, 1); })
FUNCTION(cuMemcpyDtoH_v2, (void *to, Address from, size_t len), CONTEXT, { code = copy(from, to, len, 0); })

/* What only programs with kernels call. Kernels do nothing here. */
FUNCTION(cuModuleLoadDataEx, (Handle *module, const char *ptx, unsigned count, int *options, void **values), CONTEXT, {
    CHECK(strstr(ptx, ".version") && strstr(ptx, ".visible .entry"), 218);
    CHECK(count == 2 && options[0] == 5 && options[1] == 6 && values[1], INVALID_VALUE);
    if (!code) *module = add(MODULE, 0);
    if (code == 218 || code == 222) strcpy(values[0], "ptxas: the stub says no");
})
FUNCTION(cuModuleUnload, (Handle module), CONTEXT, { code = drop(module, MODULE); })
FUNCTION(cuModuleGetFunction, (Handle *kernel, Handle module, const char *name), CONTEXT, {
    CHECK(find(module, MODULE), INVALID_HANDLE);
    CHECK(name && *name, INVALID_VALUE);
    /* A kernel goes with its module, so it takes no slot: its handle is the module's, marked. */
    if (!code) *kernel = module | 1;
})
FUNCTION(cuFuncSetAttribute, (Handle kernel, int attribute, int value), CONTEXT, {
    CHECK(find(kernel & ~(Handle)1, MODULE), INVALID_HANDLE);
    CHECK(attribute == 8 && value > 48 << 10, INVALID_VALUE);
})
FUNCTION(cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *blocks, Handle kernel, int threads, size_t shared), CONTEXT, {
    CHECK(find(kernel & ~(Handle)1, MODULE), INVALID_HANDLE);
    CHECK(threads > 0 && threads <= 1024 && shared <= 64 << 10, INVALID_VALUE);
    *blocks = 3;
})
FUNCTION(cuLaunchKernel, (Handle kernel, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                          Handle stream, void **arguments, void **extra), CONTEXT, {
    (void)shared;
    CHECK(find(kernel & ~(Handle)1, MODULE) && find(stream, STREAM), INVALID_HANDLE);
    CHECK(x && y && z && bx * by * bz > 0 && bx * by * bz <= 1024 && arguments && arguments[0] && !extra, INVALID_VALUE);
})
FUNCTION(cuMemHostAlloc, (void **address, size_t len, unsigned flags), CONTEXT, {
    CHECK(len && !flags, INVALID_VALUE);
    if (!code) *address = things[(add(PINNED, len) >> 32) - 1].bytes;
})
FUNCTION(cuMemFreeHost, (void *address), CONTEXT, {
    int index = 0;
    while (index < SLOTS && !(things[index].kind == PINNED && things[index].bytes == address)) index++;
    CHECK(index < SLOTS, INVALID_VALUE);
    if (!code) code = drop((Handle)(index + 1) << 32, PINNED);
})
FUNCTION(cuMemcpyHtoDAsync_v2, (Address to, void *from, size_t len, Handle stream), CONTEXT, {
    CHECK(find(stream, STREAM), INVALID_HANDLE);
    if (!code) code = copy(to, from, len, 1);
})
FUNCTION(cuMemcpyDtoHAsync_v2, (void *to, Address from, size_t len, Handle stream), CONTEXT, {
    CHECK(find(stream, STREAM), INVALID_HANDLE);
    if (!code) code = copy(from, to, len, 0);
})
FUNCTION(cuMemsetD8Async, (Address to, unsigned char byte, size_t len, Handle stream), CONTEXT, {
    size_t offset = 0;
    struct thing *block = block_of(to, &offset);
    CHECK(find(stream, STREAM), INVALID_HANDLE);
    CHECK(block && len <= block->len - offset, INVALID_VALUE);
    if (!code) memset((char *)block->bytes + offset, byte, len);
})
FUNCTION(cuStreamWaitEvent, (Handle stream, Handle event, unsigned flags), CONTEXT, {
    CHECK(find(stream, STREAM) && find(event, EVENT) && !flags, INVALID_HANDLE);
})
