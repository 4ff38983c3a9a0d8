/* A driver that lies: every call goes to the real libEGL and libGLESv2 except for the lies that LIAR names (words separated
 * by spaces). Loaded in their place by a board file; what it does not define is found in the libraries it is linked with.
 *
 *   swap-import    images of RGB buffers have red and blue exchanged
 *   stride-import  images are read as if rows had no padding
 *   crash-import   the third image of a process ends it
 *   swap-read      glReadPixels exchanges red and blue
 *   stride-upload  GL_UNPACK_ROW_LENGTH has no effect
 *   crash-upload   the third upload of a process ends it
 *   hang           eglClientWaitSync never returns
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*function)(void);

static int lies(const char *lie)
{
    const char *list = getenv("LIAR");
    size_t length = strlen(lie);
    for (const char *at = list; at && (at = strstr(at, lie)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == 0 || at[length] == ' '))
            return 1;
    return 0;
}

/* What the application would get without us. */
static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found)
        return found;
    function (*get)(const char *) = (function (*)(const char *))dlsym(RTLD_NEXT, "eglGetProcAddress");
    return (void *)get(name);
}

static void crash_at_third(int *count)
{
    if (++*count == 3)
        *(volatile int *)(uintptr_t)8 = 1;
}

enum { NONE = 0x3038, WIDTH = 0x3057, FOURCC = 0x3271, PITCH = 0x3274, DMA_BUF = 0x3270 };

static uint32_t swapped(uint32_t fourcc)
{
    switch (fourcc) {
    case 0x34324241: return 0x34325241; /* ABGR8888 as ARGB8888 */
    case 0x34325241: return 0x34324241;
    case 0x34324258: return 0x34325258; /* XBGR8888 as XRGB8888 */
    case 0x34325258: return 0x34324258;
    default: return fourcc;
    }
}

/* One body for EGLAttrib and EGLint attributes. */
#define LIE_ABOUT_IMAGE(type)                                                                                          \
    static int images;                                                                                                 \
    type list[128];                                                                                                    \
    size_t count = 0, pitch = 0;                                                                                       \
    type width = 0;                                                                                                    \
    uint32_t fourcc = 0;                                                                                               \
    if (target != DMA_BUF)                                                                                             \
        return create(display, context, target, buffer, attributes);                                                   \
    if (lies("crash-import"))                                                                                          \
        crash_at_third(&images);                                                                                       \
    for (; attributes && attributes[count] != NONE && count < 126; count += 2) {                                       \
        list[count] = attributes[count];                                                                               \
        list[count + 1] = attributes[count + 1];                                                                       \
        if (list[count] == WIDTH)                                                                                      \
            width = list[count + 1];                                                                                   \
        if (list[count] == PITCH)                                                                                      \
            pitch = count + 1;                                                                                         \
        if (list[count] == FOURCC) {                                                                                   \
            fourcc = (uint32_t)list[count + 1];                                                                        \
            if (lies("swap-import"))                                                                                   \
                list[count + 1] = (type)swapped(fourcc);                                                               \
        }                                                                                                              \
    }                                                                                                                  \
    list[count] = NONE;                                                                                                \
    if (lies("stride-import") && pitch && swapped(fourcc) != fourcc)                                                   \
        list[pitch] = width * 4;                                                                                       \
    return create(display, context, target, buffer, list)

void *eglCreateImage(void *display, void *context, unsigned target, void *buffer, const intptr_t *attributes)
{
    void *(*create)(void *, void *, unsigned, void *, const intptr_t *) =
        (void *(*)(void *, void *, unsigned, void *, const intptr_t *))real("eglCreateImage");
    LIE_ABOUT_IMAGE(intptr_t);
}

void *eglCreateImageKHR(void *display, void *context, unsigned target, void *buffer, const int *attributes)
{
    void *(*create)(void *, void *, unsigned, void *, const int *) =
        (void *(*)(void *, void *, unsigned, void *, const int *))real("eglCreateImageKHR");
    LIE_ABOUT_IMAGE(int);
}

static int wait_for(const char *name, void *display, void *sync, int flags, uint64_t timeout)
{
    if (lies("hang"))
        for (;;)
            pause();
    return ((int (*)(void *, void *, int, uint64_t))real(name))(display, sync, flags, timeout);
}

int eglClientWaitSync(void *display, void *sync, int flags, uint64_t timeout)
{
    return wait_for("eglClientWaitSync", display, sync, flags, timeout);
}

int eglClientWaitSyncKHR(void *display, void *sync, int flags, uint64_t timeout)
{
    return wait_for("eglClientWaitSyncKHR", display, sync, flags, timeout);
}

void glReadPixels(int x, int y, int width, int height, unsigned format, unsigned type, void *pixels)
{
    ((void (*)(int, int, int, int, unsigned, unsigned, void *))real("glReadPixels"))(x, y, width, height, format, type, pixels);
    if (!lies("swap-read") || format != 0x1908 || type != 0x1401 || (uintptr_t)pixels < 4096)
        return;
    for (unsigned char *pixel = pixels; pixel < (unsigned char *)pixels + 4 * width * height; pixel += 4) {
        unsigned char red = pixel[0];
        pixel[0] = pixel[2];
        pixel[2] = red;
    }
}

void glPixelStorei(unsigned name, int value)
{
    if (name == 0x0CF2 && lies("stride-upload"))
        return;
    ((void (*)(unsigned, int))real("glPixelStorei"))(name, value);
}

void glTexSubImage2D(unsigned target, int level, int x, int y, int width, int height, unsigned format, unsigned type,
                     const void *pixels)
{
    static int uploads;
    if (lies("crash-upload"))
        crash_at_third(&uploads);
    ((void (*)(unsigned, int, int, int, int, int, unsigned, unsigned, const void *))real("glTexSubImage2D"))(
        target, level, x, y, width, height, format, type, pixels);
}

function eglGetProcAddress(const char *name)
{
    static const struct {
        const char *name;
        function function;
    } ours[] = {
        {"eglCreateImage", (function)eglCreateImage},
        {"eglCreateImageKHR", (function)eglCreateImageKHR},
        {"eglClientWaitSync", (function)eglClientWaitSync},
        {"eglClientWaitSyncKHR", (function)eglClientWaitSyncKHR},
        {"glReadPixels", (function)glReadPixels},
        {"glPixelStorei", (function)glPixelStorei},
        {"glTexSubImage2D", (function)glTexSubImage2D},
    };
    for (size_t index = 0; index < sizeof ours / sizeof *ours; index++)
        if (strcmp(ours[index].name, name) == 0)
            return ours[index].function;
    return ((function (*)(const char *))dlsym(RTLD_NEXT, "eglGetProcAddress"))(name);
}
