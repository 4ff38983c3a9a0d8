// The floor: what the jobs J1, J2 and J3 cost with nothing between a C program and the driver.
//
// Serial, one thread of its own: read, upload, draw, glReadPixels, write. EGL without a surface, GLES 3 or 2.
// Row 0 is the top row: a frame's first row is uploaded as texture row 0, drawn to framebuffer row 0 and read back
// first. README.md says what each job does and which choices make it fast.

#define _GNU_SOURCE
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES3/gl3.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#ifndef J1_SHADER
#define J1_SHADER "benches/floor/j1.frag"
#endif

static struct {
    bool time, no_png, no_huge, map, linear_chroma, fetch, mediump, fused;
    const char *shader;
    int width, height;
} opt = {.shader = J1_SHADER, .width = 1920, .height = 1080};

static __attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("floor: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

// ---- time -------------------------------------------------------------------------------------------------------

enum stage { EGL, CONTEXT, SETUP, READ, UPLOAD, DRAW, READBACK, WRITE, STAGES };
static const char *const stage_names[STAGES] = {"egl",    "context", "setup",    "read",
                                                "upload", "draw",    "readback", "write"};
static double spent_ms[STAGES], started_ms, lap_ms;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

// The time since the last call goes to `stage`. Costs nothing without --time.
static void lap(enum stage stage) {
    if (!opt.time)
        return;
    double now = now_ms();
    spent_ms[stage] += now - lap_ms;
    lap_ms = now;
}

static void print_times(int frames) {
    if (!opt.time)
        return;
    fprintf(stderr, "%s, %s\n", glGetString(GL_RENDERER), glGetString(GL_VERSION));
    for (int i = 0; i < STAGES; i++)
        fprintf(stderr, "%-8s %8.3f ms%s\n", stage_names[i], i < READ ? spent_ms[i] : spent_ms[i] / frames,
                i < READ ? "" : " a frame");
    double all = now_ms() - started_ms, loop = 0;
    for (int i = READ; i < STAGES; i++)
        loop += spent_ms[i];
    fprintf(stderr, "in all   %8.1f ms, %d frames, %.1f frames/s\n", all, frames, 1e3 * frames / loop);
}

// ---- memory and files -------------------------------------------------------------------------------------------

// Pages that are cheap to touch for the first time, where the kernel has huge ones.
static void *pixels_new(size_t bytes) {
    size_t huge = 2 << 20, room = ((bytes + huge - 1) & ~(huge - 1)) + huge;
    char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("mmap of %zu bytes: %s", room, strerror(errno));
    p = (char *)(((uintptr_t)p + huge - 1) & ~(uintptr_t)(huge - 1));
    if (!opt.no_huge)
        madvise(p, room - huge, MADV_HUGEPAGE);
    return p;
}

static int open_out(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    return fd;
}

static void write_all(int fd, const void *data, size_t bytes) {
    for (const char *p = data; bytes;) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno != EINTR)
            fail("write: %s", strerror(errno));
        if (n > 0)
            p += n, bytes -= n;
    }
}

struct input {
    int fd, frames;
    size_t frame_bytes;
    unsigned char *data; // one frame, or with --mmap the whole file
};

static struct input input_open(const char *path, size_t frame_bytes) {
    struct input in = {.fd = open(path, O_RDONLY | O_CLOEXEC), .frame_bytes = frame_bytes};
    struct stat st;
    if (in.fd < 0 || fstat(in.fd, &st))
        fail("%s: %s", path, strerror(errno));
    in.frames = st.st_size / frame_bytes;
    if (in.frames < 1)
        fail("%s: less than one frame of %zu bytes", path, frame_bytes);
    in.data = opt.map ? mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, in.fd, 0) : pixels_new(frame_bytes);
    if (in.data == MAP_FAILED)
        fail("%s: mmap: %s", path, strerror(errno));
    return in;
}

// Frame `index`; the file repeats if it has fewer.
static const unsigned char *input_frame(struct input *in, int index) {
    off_t at = (off_t)(index % in->frames) * in->frame_bytes;
    if (opt.map)
        return in->data + at;
    for (size_t done = 0; done < in->frame_bytes;) {
        ssize_t n = pread(in->fd, in->data + done, in->frame_bytes - done, at + done);
        if (n == 0 || (n < 0 && errno != EINTR))
            fail("read: %s", n ? strerror(errno) : "the file became shorter");
        if (n > 0)
            done += n;
    }
    return in->data;
}

// ---- PNG: zlib level 1, filter Up, streamed so that no second picture is held -----------------------------------

static void png_chunk(int fd, const char *kind, const unsigned char *data, uint32_t bytes) {
    unsigned char head[8] = {bytes >> 24, bytes >> 16, bytes >> 8, bytes}, tail[4];
    memcpy(head + 4, kind, 4);
    uint32_t crc = crc32(crc32(0, head + 4, 4), data, bytes);
    for (int i = 0; i < 4; i++)
        tail[i] = crc >> (24 - 8 * i);
    write_all(fd, head, 8);
    write_all(fd, data, bytes);
    write_all(fd, tail, 4);
}

// Filter Up: `out` = `row` - `above`, byte by byte.
static void filter_up(unsigned char *restrict out, const unsigned char *restrict row,
                      const unsigned char *restrict above, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = row[i] - above[i];
}

static void png_write(const char *path, const unsigned char *rgba, int width, int height) {
    int fd = open_out(path);
    unsigned char head[13] = {width >> 24,  width >> 16,  width >> 8,  width,
                              height >> 24, height >> 16, height >> 8, height, 8, 6};
    write_all(fd, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(fd, "IHDR", head, 13);
    static unsigned char out[256 << 10];
    size_t stride = (size_t)width * 4;
    unsigned char *row = malloc(1 + stride);
    z_stream z = {0};
    if (!row || deflateInit(&z, 1) != Z_OK)
        fail("no memory for zlib");
    z.next_out = out;
    z.avail_out = sizeof out;
    for (int y = 0; y <= height; y++) {
        if (y < height) {
            const unsigned char *from = rgba + y * stride;
            row[0] = y ? 2 : 0;
            if (y)
                filter_up(row + 1, from, from - stride, stride);
            else
                memcpy(row + 1, from, stride);
            z.next_in = row;
            z.avail_in = 1 + stride;
        }
        int flush = y < height ? Z_NO_FLUSH : Z_FINISH, rc;
        do {
            rc = deflate(&z, flush);
            if (!z.avail_out || rc == Z_STREAM_END) {
                png_chunk(fd, "IDAT", out, sizeof out - z.avail_out);
                z.next_out = out;
                z.avail_out = sizeof out;
            }
        } while (z.avail_in || (flush == Z_FINISH && rc != Z_STREAM_END));
    }
    deflateEnd(&z);
    free(row);
    png_chunk(fd, "IEND", NULL, 0);
    if (close(fd))
        fail("%s: %s", path, strerror(errno));
}

// ---- EGL and GL -------------------------------------------------------------------------------------------------

static int gles; // 3 or 2

static bool has(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p && (p = strstr(p, name)); p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

static void gl_start(void) {
    EGLDisplay display = EGL_NO_DISPLAY;
    if (has(eglQueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS), "EGL_MESA_platform_surfaceless")) {
        PFNEGLGETPLATFORMDISPLAYEXTPROC get = (void *)eglGetProcAddress("eglGetPlatformDisplayEXT");
        if (get)
            display = get(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    }
    if (display == EGL_NO_DISPLAY || !eglInitialize(display, NULL, NULL)) {
        display = eglGetDisplay(EGL_DEFAULT_DISPLAY);
        if (!eglInitialize(display, NULL, NULL))
            fail("eglInitialize: 0x%x", eglGetError());
    }
    lap(EGL);

    eglBindAPI(EGL_OPENGL_ES_API);
    EGLConfig config;
    EGLint count = 0, wanted[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT, EGL_NONE};
    if (!eglChooseConfig(display, wanted, &config, 1, &count) || !count) {
        wanted[1] = 0; // any surface type: none is needed without a surface
        if (!eglChooseConfig(display, wanted, &config, 1, &count) || !count)
            fail("eglChooseConfig: no config for GLES: 0x%x", eglGetError());
    }
    EGLContext context = EGL_NO_CONTEXT;
    for (int version = 3; version >= 2 && context == EGL_NO_CONTEXT; version--) {
        EGLint attributes[] = {EGL_CONTEXT_CLIENT_VERSION, version, EGL_NONE};
        context = eglCreateContext(display, config, EGL_NO_CONTEXT, attributes);
        gles = version;
    }
    if (context == EGL_NO_CONTEXT)
        fail("eglCreateContext: 0x%x", eglGetError());
    EGLSurface surface = EGL_NO_SURFACE;
    if (!has(eglQueryString(display, EGL_EXTENSIONS), "EGL_KHR_surfaceless_context"))
        surface = eglCreatePbufferSurface(display, config, (EGLint[]){EGL_WIDTH, 16, EGL_HEIGHT, 16, EGL_NONE});
    if (!eglMakeCurrent(display, surface, surface, context))
        fail("eglMakeCurrent: 0x%x", eglGetError());
    glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glDisable(GL_DITHER);
    lap(CONTEXT);
}

static void gl_check(const char *what) {
    GLenum e = glGetError();
    if (e)
        fail("%s: GL error 0x%x", what, e);
}

static GLuint shader_new(GLenum kind, int parts, const char *const *source) {
    GLuint shader = glCreateShader(kind);
    glShaderSource(shader, parts, source, NULL);
    glCompileShader(shader);
    GLint ok;
    glGetShaderiv(shader, GL_COMPILE_STATUS, &ok);
    if (!ok) {
        char log[4096] = "";
        glGetShaderInfoLog(shader, sizeof log, NULL, log);
        fail("%s shader: %s", kind == GL_VERTEX_SHADER ? "vertex" : "fragment", log);
    }
    return shader;
}

// What stands before a fragment shader of J2 and J3. highp samplers matter: the default is lowp.
static const char *prelude(void) {
    if (opt.mediump)
        return opt.fetch ? "#version 300 es\nprecision mediump float;\n" : "precision mediump float;\n";
    return opt.fetch ? "#version 300 es\nprecision highp float;\nprecision highp sampler2D;\n"
                     : "precision highp float;\nprecision highp sampler2D;\n";
}

static GLuint program_new(int parts, const char *const *fragment) {
    const char *vertex = "attribute vec2 at; varying vec2 v_uv;\n"
                         "void main() { v_uv = at * 0.5 + 0.5; gl_Position = vec4(at, 0.0, 1.0); }\n";
    if (opt.fetch)
        vertex = "#version 300 es\nin vec2 at;\nvoid main() { gl_Position = vec4(at, 0.0, 1.0); }\n";
    GLuint program = glCreateProgram();
    glAttachShader(program, shader_new(GL_VERTEX_SHADER, 1, &vertex));
    glAttachShader(program, shader_new(GL_FRAGMENT_SHADER, parts, fragment));
    glBindAttribLocation(program, 0, "at");
    glLinkProgram(program);
    GLint ok;
    glGetProgramiv(program, GL_LINK_STATUS, &ok);
    if (!ok) {
        char log[4096] = "";
        glGetProgramInfoLog(program, sizeof log, NULL, log);
        fail("link: %s", log);
    }
    glUseProgram(program);
    return program;
}

// One triangle that covers the picture, for every draw.
static void triangle_new(void) {
    static const GLfloat corners[] = {-1, -1, 3, -1, -1, 3};
    GLuint buffer;
    glGenBuffers(1, &buffer);
    glBindBuffer(GL_ARRAY_BUFFER, buffer);
    glBufferData(GL_ARRAY_BUFFER, sizeof corners, corners, GL_STATIC_DRAW);
    glEnableVertexAttribArray(0);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, NULL);
}

// A texture of 1, 2 or 4 bytes a pixel on unit `unit`.
static GLuint texture_new(int unit, int bytes, int width, int height, GLenum filter) {
    GLenum sized = bytes == 1 ? GL_R8 : bytes == 2 ? GL_RG8 : GL_RGBA8;
    GLenum format = bytes == 1 ? GL_RED : bytes == 2 ? GL_RG : GL_RGBA;
    if (gles == 2)
        sized = format = bytes == 1 ? GL_LUMINANCE : bytes == 2 ? GL_LUMINANCE_ALPHA : GL_RGBA;
    GLuint texture;
    glGenTextures(1, &texture);
    glActiveTexture(GL_TEXTURE0 + unit);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, filter);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, filter);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    if (gles == 3)
        glTexStorage2D(GL_TEXTURE_2D, 1, sized, width, height);
    else
        glTexImage2D(GL_TEXTURE_2D, 0, format, width, height, 0, format, GL_UNSIGNED_BYTE, NULL);
    return texture;
}

// Upload into the texture on unit `unit`.
static void upload(int unit, int bytes, int width, int height, const void *pixels) {
    GLenum format = bytes == 1 ? GL_RED : bytes == 2 ? GL_RG : GL_RGBA;
    if (gles == 2)
        format = bytes == 1 ? GL_LUMINANCE : bytes == 2 ? GL_LUMINANCE_ALPHA : GL_RGBA;
    glActiveTexture(GL_TEXTURE0 + unit);
    glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, width, height, format, GL_UNSIGNED_BYTE, pixels);
}

static GLuint target_new(GLuint texture) {
    GLuint framebuffer;
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
        fail("the framebuffer is incomplete");
    return framebuffer;
}

// With --time the drawing is waited for, so that the stages can be told apart; else reading back waits.
static void drawn(void) {
    if (opt.time)
        glFinish();
    lap(DRAW);
}

static void read_back(void *pixels, int width, int height) {
    glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    lap(READBACK);
}

// ---- the jobs ---------------------------------------------------------------------------------------------------

static void run_j1(const char *out) {
    static char source[1 << 16];
    int fd = open(opt.shader, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, source, sizeof source - 1) <= 0)
        fail("%s: %s", opt.shader, strerror(errno));
    close(fd);
    lap(READ);
    gl_start();
    int width = opt.width, height = opt.height;
    program_new(1, (const char *[]){source});
    triangle_new();
    target_new(texture_new(0, 4, width, height, GL_NEAREST));
    glViewport(0, 0, width, height);
    unsigned char *pixels = pixels_new((size_t)width * height * 4);
    lap(SETUP);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    drawn();
    read_back(pixels, width, height);
    gl_check("j1");
    if (!opt.no_png)
        png_write(out, pixels, width, height);
    lap(WRITE);
    print_times(1);
}

static const char *const j2_body =
    "#if __VERSION__ >= 300\n"
    "out vec4 colour;\n"
    "#else\n"
    "varying vec2 v_uv;\n"
    "#define colour gl_FragColor\n"
    "#endif\n"
    "uniform sampler2D luma, chroma;\n"
    "uniform vec2 siting;\n"
    "void main() {\n"
    "#if __VERSION__ >= 300\n"
    "    ivec2 at = ivec2(gl_FragCoord.xy);\n"
    "    float y = texelFetch(luma, at, 0).r;\n"
    "    vec2 c = texelFetch(chroma, at >> 1, 0).rg;\n"
    "#else\n"
    "    float y = texture2D(luma, v_uv).r;\n"
    "    vec2 c = texture2D(chroma, v_uv SITING).CHANNELS;\n"
    "#endif\n"
    // Limited range to Y' in 0..1 and C in -0.5..0.5: 255 / 219 and 255 / 224 are in the matrix (columns Y', Cb, Cr).
    "    colour = vec4(mat3(1.16438356, 1.16438356, 1.16438356, 0.0, -0.21324861, 2.11240179,\n"
    "        1.79274107, -0.53290933, 0.0) * vec3(y - 0.0627450980, c - 0.5019607843), 1.0);\n"
    "}\n";

static void run_j2(const char *in_path, int width, int height, int frames, const char *out_path) {
    if (width % 2 || height % 2)
        fail("j2: NV12 needs an even size");
    size_t luma_bytes = (size_t)width * height;
    struct input in = input_open(in_path, luma_bytes * 3 / 2);
    int out = open_out(out_path);
    lap(READ);
    gl_start();
    if (opt.fetch && gles == 2)
        fail("--fetch needs GLES 3");
    GLuint program = program_new(4, (const char *[]){
        prelude(), gles == 3 ? "#define CHANNELS rg\n" : "#define CHANNELS ra\n",
        opt.linear_chroma ? "#define SITING + siting\n" : "#define SITING\n", j2_body});
    triangle_new();
    texture_new(0, 1, width, height, GL_NEAREST);
    texture_new(1, 2, width / 2, height / 2, opt.linear_chroma ? GL_LINEAR : GL_NEAREST);
    glUniform1i(glGetUniformLocation(program, "luma"), 0);
    glUniform1i(glGetUniformLocation(program, "chroma"), 1);
    // Chroma sample k sits on luma column 2k: half a luma pixel left of where the texture's stretch has it.
    glUniform2f(glGetUniformLocation(program, "siting"), 0.5f / width, 0.0f);
    target_new(texture_new(2, 4, width, height, GL_NEAREST));
    glViewport(0, 0, width, height);
    unsigned char *pixels = pixels_new(luma_bytes * 4);
    lap(SETUP);
    for (int i = 0; i < frames; i++) {
        const unsigned char *frame = input_frame(&in, i);
        lap(READ);
        upload(0, 1, width, height, frame);
        upload(1, 2, width / 2, height / 2, frame + luma_bytes);
        lap(UPLOAD);
        glDrawArrays(GL_TRIANGLES, 0, 3);
        drawn();
        read_back(pixels, width, height);
        write_all(out, pixels, luma_bytes * 4);
        lap(WRITE);
    }
    gl_check("j2");
    print_times(frames);
}

static const char *const j3_head = "varying vec2 v_uv;\nuniform vec2 texel;\nuniform sampler2D original, source;\n";

// The Gaussian of sigma 2 pixels over 9 taps, its weights adding up to 1. Frames are opaque: alpha is not blurred.
#define BLUR(axis)                                                                                                     \
    "vec3 blurred() {\n"                                                                                               \
    "    vec2 d = texel * vec2(" axis ");\n"                                                                           \
    "    return 0.2041636887 * texture2D(source, v_uv).rgb\n"                                                          \
    "        + 0.1801738229 * (texture2D(source, v_uv - d).rgb + texture2D(source, v_uv + d).rgb)\n"                   \
    "        + 0.1238315369 * (texture2D(source, v_uv - 2.0 * d).rgb + texture2D(source, v_uv + 2.0 * d).rgb)\n"       \
    "        + 0.0662822453 * (texture2D(source, v_uv - 3.0 * d).rgb + texture2D(source, v_uv + 3.0 * d).rgb)\n"       \
    "        + 0.0276305506 * (texture2D(source, v_uv - 4.0 * d).rgb + texture2D(source, v_uv + 4.0 * d).rgb);\n"      \
    "}\n"
#define UNSHARP(blurred)                                                                                               \
    "void main() {\n"                                                                                                  \
    "    vec3 c = texture2D(original, v_uv).rgb;\n"                                                                    \
    "    gl_FragColor = vec4(c + 0.6 * (c - " blurred "), 1.0);\n"                                                     \
    "}\n"
#define BLUR_MAIN "void main() { gl_FragColor = vec4(blurred(), 1.0); }\n"

static const char *const j3_blur_h = BLUR("1.0, 0.0") BLUR_MAIN;
static const char *const j3_blur_v = BLUR("0.0, 1.0") BLUR_MAIN;
static const char *const j3_unsharp = UNSHARP("texture2D(source, v_uv).rgb");
static const char *const j3_fused = BLUR("0.0, 1.0") UNSHARP("blurred()");

static void run_j3(const char *in_path, int width, int height, int frames, const char *out_path) {
    size_t bytes = (size_t)width * height * 4;
    struct input in = input_open(in_path, bytes);
    int out = open_out(out_path);
    lap(READ);
    gl_start();
    // Unit 0 is the original, 1 to 3 what the passes draw.
    const char *bodies[] = {j3_blur_h, opt.fused ? j3_fused : j3_blur_v, j3_unsharp};
    int passes = opt.fused ? 2 : 3;
    GLuint programs[3], targets[3];
    triangle_new();
    texture_new(0, 4, width, height, GL_NEAREST);
    for (int i = 0; i < passes; i++) {
        programs[i] = program_new(3, (const char *[]){prelude(), j3_head, bodies[i]});
        glUniform1i(glGetUniformLocation(programs[i], "original"), 0);
        glUniform1i(glGetUniformLocation(programs[i], "source"), i);
        glUniform2f(glGetUniformLocation(programs[i], "texel"), 1.0f / width, 1.0f / height);
        targets[i] = target_new(texture_new(1 + i, 4, width, height, GL_NEAREST));
    }
    glViewport(0, 0, width, height);
    unsigned char *pixels = pixels_new(bytes);
    lap(SETUP);
    for (int i = 0; i < frames; i++) {
        const unsigned char *frame = input_frame(&in, i);
        lap(READ);
        upload(0, 4, width, height, frame);
        lap(UPLOAD);
        for (int pass = 0; pass < passes; pass++) {
            glUseProgram(programs[pass]);
            glBindFramebuffer(GL_FRAMEBUFFER, targets[pass]);
            glDrawArrays(GL_TRIANGLES, 0, 3);
        }
        drawn();
        read_back(pixels, width, height);
        write_all(out, pixels, bytes);
        lap(WRITE);
    }
    gl_check("j3");
    print_times(frames);
}

// ---- inputs -----------------------------------------------------------------------------------------------------

// A wave of period 1024 and range 0..255, from integers alone so that every machine makes the same bytes.
static unsigned wave(unsigned phase) {
    phase &= 1023;
    unsigned half = phase & 511, arch = half * (512 - half) >> 9; // 0..128
    return phase < 512 ? 127 + arch : 127 - (arch > 127 ? 127 : arch);
}

static unsigned noise_state = 0x2545f491;
static unsigned noise(unsigned bits) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 17;
    noise_state ^= noise_state << 5;
    return noise_state >> (32 - bits);
}

// Waves that move with the frame number, and a little noise; 0..255.
static unsigned pattern(int x, int y, int frame, int channel) {
    unsigned sum = wave(x * (3 + channel) + frame * 24) + wave(y * (5 - channel) - frame * 16 + channel * 300) +
                   wave((x + y) * 2 + frame * 40 + channel * 150);
    return sum / 3 * 15 / 16 + noise(4);
}

static void generate(bool nv12, int width, int height, int frames, const char *path) {
    if (nv12 && (width % 2 || height % 2))
        fail("gen-nv12: NV12 needs an even size");
    int fd = open_out(path);
    size_t bytes = (size_t)width * height * (nv12 ? 3 : 8) / 2;
    unsigned char *frame = pixels_new(bytes);
    for (int f = 0; f < frames; f++) {
        unsigned char *p = frame;
        for (int y = 0; nv12 && y < height; y++)
            for (int x = 0; x < width; x++)
                *p++ = 16 + pattern(x, y, f, 0) * 219 / 255;
        for (int y = 0; nv12 && y < height / 2; y++)
            for (int x = 0; x < width / 2; x++)
                for (int c = 1; c < 3; c++)
                    *p++ = 16 + pattern(2 * x, 2 * y, f, c) * 224 / 255;
        for (int y = 0; !nv12 && y < height; y++)
            for (int x = 0; x < width; x++, *p++ = 255)
                for (int c = 0; c < 3; c++)
                    *p++ = pattern(x, y, f, c);
        write_all(fd, frame, bytes);
    }
    if (close(fd))
        fail("%s: %s", path, strerror(errno));
}

// ---- the command line -------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: floor [options] j1 OUT.png\n"
    "       floor [options] j2 IN.nv12 WIDTH HEIGHT FRAMES OUT.rgba\n"
    "       floor [options] j3 IN.rgba WIDTH HEIGHT FRAMES OUT.rgba\n"
    "       floor gen-nv12 WIDTH HEIGHT FRAMES OUT\n"
    "       floor gen-rgba WIDTH HEIGHT FRAMES OUT\n"
    "options: --time            print the ms of each stage to stderr\n"
    "         --precision P     highp (default) or mediump (J2, J3)\n"
    "         --mmap            map the input instead of reading it (J2, J3)\n"
    "         --no-hugepage     plain pages for the pixels\n"
    "         --size WxH, --shader FILE, --no-png        J1\n"
    "         --linear-chroma, --fetch                   J2: bilinear left-sited chroma; texelFetch\n"
    "         --fused                                    J3: the last two passes as one\n";

static __attribute__((noreturn)) void wrong_usage(void) {
    fputs(usage, stderr);
    exit(2);
}

static int number(const char *text) {
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > 1 << 20)
        fail("%s: a number from 1 up is needed", text);
    return n;
}

int main(int argc, char **argv) {
    char *words[8];
    int count = 0;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--time")) opt.time = true;
        else if (!strcmp(a, "--no-png")) opt.no_png = true;
        else if (!strcmp(a, "--no-hugepage")) opt.no_huge = true;
        else if (!strcmp(a, "--mmap")) opt.map = true;
        else if (!strcmp(a, "--linear-chroma")) opt.linear_chroma = true;
        else if (!strcmp(a, "--fetch")) opt.fetch = true;
        else if (!strcmp(a, "--fused")) opt.fused = true;
        else if (!strcmp(a, "--shader") && i + 1 < argc) opt.shader = argv[++i];
        else if (!strcmp(a, "--precision") && i + 1 < argc && !strcmp(argv[i + 1], "highp")) i++;
        else if (!strcmp(a, "--precision") && i + 1 < argc && !strcmp(argv[i + 1], "mediump"))
            i++, opt.mediump = true;
        else if (!strcmp(a, "--size") && i + 1 < argc && sscanf(argv[i + 1], "%dx%d", &opt.width, &opt.height) == 2)
            i++;
        else if (a[0] == '-' || count == 8) wrong_usage();
        else words[count++] = argv[i];
    }
    started_ms = lap_ms = now_ms();
    const char *job = count ? words[0] : "";
    if (opt.width < 1 || opt.height < 1 || opt.width > 16384 || opt.height > 16384)
        fail("--size: 1 to 16384");
    if (opt.fetch && (opt.linear_chroma || strcmp(job, "j2")))
        fail("--fetch is for j2, without --linear-chroma");
    if (!strcmp(job, "j1") && count == 2)
        run_j1(words[1]);
    else if ((!strcmp(job, "j2") || !strcmp(job, "j3")) && count == 6)
        (job[1] == '2' ? run_j2 : run_j3)(words[1], number(words[2]), number(words[3]), number(words[4]), words[5]);
    else if (!strncmp(job, "gen-", 4) && count == 5 && (!strcmp(job, "gen-nv12") || !strcmp(job, "gen-rgba")))
        generate(job[4] == 'n', number(words[1]), number(words[2]), number(words[3]), words[4]);
    else
        wrong_usage();
    return 0;
}
