// Frames of 1920x1080 RGBA from one process to another: the floor and the peer of J4.
//   handover ring-send|ring-read|gst-send|gst-read SOCKET FRAMES [FRAMES-PER-SECOND]
// ring: four memory files, sent and mapped once; a number goes each way for each frame. gst: GStreamer's unixfdsink and
// unixfdsrc (1.24 and later), opened at run time, with its own pool of memory files.
// The sender copies a picture into each frame and writes the time; the reader reads every byte. The reader prints JSON.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 1920, HEIGHT = 1080, BYTES = WIDTH * HEIGHT * 4, RING = 4 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_ms(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return 1e3 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-3 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

// ---------------------------------------------------------------- what each frame costs on either side

static uint8_t *picture;
static uint64_t period_ns, next_ns;

static void fill(uint8_t *frame, uint64_t number) {
    if (period_ns) {
        if (!next_ns) next_ns = now_ns();
        struct timespec t = {(time_t)(next_ns / 1000000000u), (long)(next_ns % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        next_ns += period_ns;
    }
    memcpy(frame, picture, BYTES);
    memcpy(frame + 8, &number, 8);
    uint64_t time = now_ns();
    memcpy(frame, &time, 8);
}

static double *handed, *done;
static uint64_t frames, first_ns, last_ns, sum;

static void take(const uint8_t *frame, uint64_t expected) {
    uint64_t arrived = now_ns(), time, number;
    memcpy(&time, frame, 8);
    memcpy(&number, frame + 8, 8);
    if (number != expected) {
        fprintf(stderr, "handover: frame %lu where %lu was expected\n", number, expected);
        exit(1);
    }
    const uint64_t *words = (const uint64_t *)frame;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < BYTES / 8; i += 4) a += words[i], b += words[i + 1], c += words[i + 2], d += words[i + 3];
    sum += a + b + c + d;
    last_ns = now_ns();
    if (!first_ns) first_ns = last_ns;
    handed[expected] = 1e-6 * (double)(arrived - time);
    done[expected] = 1e-6 * (double)(last_ns - time);
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(void) {
    qsort(handed, frames, sizeof *handed, rising);
    qsort(done, frames, sizeof *done, rising);
    printf("{\"fps\": %.1f, \"handed_ms\": %.4f, \"handed_p95_ms\": %.4f, \"read_ms\": %.4f, \"read_p95_ms\": %.4f, \"cpu_ms\": %.4f, \"sum\": %lu}\n",
           (double)(frames - 1) * 1e9 / (double)(last_ns - first_ns), handed[frames / 2], handed[frames * 95 / 100],
           done[frames / 2], done[frames * 95 / 100], cpu_ms() / (double)frames, sum);
}

// ---------------------------------------------------------------- the ring

static struct sockaddr_un address(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return a;
}

static void ring_send(const char *path) {
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), fds[RING];
    struct sockaddr_un a = address(path);
    unlink(path);
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 1)) die("bind");
    int peer = accept(listener, NULL, NULL);
    uint8_t *memory[RING];
    for (int i = 0; i < RING; i++) {
        fds[i] = memfd_create("ring", 0);
        if (ftruncate(fds[i], BYTES)) die("ftruncate");
        memory[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fds[i], 0);
    }
    union { char space[CMSG_SPACE(sizeof fds)]; struct cmsghdr align; } control = {0};
    char byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    if (sendmsg(peer, &message, 0) < 0) die("sendmsg");
    uint64_t free_list[RING] = {0, 1, 2, 3}, count = RING, back;
    for (uint64_t number = 0; number < frames; number++) {
        // Two on their way at most, as the others.
        while (count <= RING - 2) {
            if (read(peer, &back, 8) != 8) die("read");
            free_list[count++] = back;
        }
        uint64_t slot = free_list[0];
        memmove(free_list, free_list + 1, sizeof free_list - 8);
        count--;
        fill(memory[slot], number);
        if (write(peer, &slot, 8) != 8) die("write");
    }
    while (count++ < RING && read(peer, &back, 8) == 8) {}
}

static void ring_read(const char *path) {
    int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), fds[RING];
    struct sockaddr_un a = address(path);
    while (connect(socket_fd, (void *)&a, sizeof a)) usleep(10000);
    union { char space[CMSG_SPACE(sizeof fds)]; struct cmsghdr align; } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    if (recvmsg(socket_fd, &message, 0) != 1) die("recvmsg");
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
    const uint8_t *memory[RING];
    for (int i = 0; i < RING; i++) memory[i] = mmap(NULL, BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fds[i], 0);
    for (uint64_t number = 0, slot; number < frames; number++) {
        if (read(socket_fd, &slot, 8) != 8) die("read");
        take(memory[slot], number);
        if (write(socket_fd, &slot, 8) != 8) die("write");
    }
}

// ---------------------------------------------------------------- GStreamer, without its headers

typedef struct {
    void *memory;
    int flags;
    uint8_t *data;
    size_t size, maxsize;
    void *user[4], *reserved[4];
} MapInfo;

static void *library[3];

static void *symbol(const char *name) {
    for (int i = 0; i < 3; i++) {
        void *found = library[i] ? dlsym(library[i], name) : NULL;
        if (found) return found;
    }
    fprintf(stderr, "handover: no %s\n", name);
    exit(1);
}
#define CALL(result, name, ...) ((result(*)(__VA_ARGS__))symbol(#name))

static void *launch(const char *text) {
    const char *names[3] = {"libgstreamer-1.0.so.0", "libgstapp-1.0.so.0", "libgstallocators-1.0.so.0"};
    for (int i = 0; i < 3; i++) library[i] = dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
    CALL(void, gst_init, void *, void *)(NULL, NULL);
    void *error = NULL;
    void *pipeline = CALL(void *, gst_parse_launch, const char *, void **)(text, &error);
    if (!pipeline || error) {
        fprintf(stderr, "handover: gst_parse_launch: %s\n", error ? *(char **)((char *)error + 8) : "?");
        exit(1);
    }
    return pipeline;
}

static void *element(void *pipeline) {
    return CALL(void *, gst_bin_get_by_name, void *, const char *)(pipeline, "app");
}

static void play(void *pipeline) {
    CALL(int, gst_element_set_state, void *, int)(pipeline, 4);
}

static void gst_send(const char *path) {
    char text[512];
    snprintf(text, sizeof text,
             "appsrc name=app format=time do-timestamp=true is-live=true block=true max-buffers=1 "
             "caps=video/x-raw,format=RGBA,width=%d,height=%d,framerate=60/1 "
             "! unixfdsink socket-path=%s sync=false wait-for-connection=true", WIDTH, HEIGHT, path);
    void *pipeline = launch(text), *app = element(pipeline);
    CALL(void, gst_shm_allocator_init_once, void)();
    void *allocator = CALL(void *, gst_shm_allocator_get, void)();
    void *pool = CALL(void *, gst_buffer_pool_new, void)();
    void *config = CALL(void *, gst_buffer_pool_get_config, void *)(pool);
    CALL(void, gst_buffer_pool_config_set_params, void *, void *, unsigned, unsigned, unsigned)(config, NULL, BYTES, RING, RING);
    CALL(void, gst_buffer_pool_config_set_allocator, void *, void *, void *)(config, allocator, NULL);
    if (!CALL(int, gst_buffer_pool_set_config, void *, void *)(pool, config)) exit(2);
    CALL(int, gst_buffer_pool_set_active, void *, int)(pool, 1);
    play(pipeline);
    int (*acquire)(void *, void **, void *) = symbol("gst_buffer_pool_acquire_buffer");
    int (*map)(void *, MapInfo *, int) = symbol("gst_buffer_map");
    void (*unmap)(void *, MapInfo *) = symbol("gst_buffer_unmap");
    int (*push)(void *, void *) = symbol("gst_app_src_push_buffer");
    for (uint64_t number = 0; number < frames; number++) {
        void *buffer;
        MapInfo info;
        if (acquire(pool, &buffer, NULL) || !map(buffer, &info, 2)) exit(3);
        fill(info.data, number);
        unmap(buffer, &info);
        if (push(app, buffer)) exit(4);
    }
    CALL(int, gst_app_src_end_of_stream, void *)(app);
    void *bus = CALL(void *, gst_element_get_bus, void *)(pipeline);
    CALL(void *, gst_bus_timed_pop_filtered, void *, uint64_t, int)(bus, 20000000000u, 3);
    // The reader may still read.
    sleep(1);
}

static void gst_read(const char *path) {
    char text[256];
    while (access(path, F_OK)) usleep(10000);
    snprintf(text, sizeof text, "unixfdsrc socket-path=%s ! appsink name=app sync=false max-buffers=1", path);
    void *pipeline = launch(text), *app = element(pipeline);
    play(pipeline);
    void *(*pull)(void *) = symbol("gst_app_sink_pull_sample");
    void *(*buffer_of)(void *) = symbol("gst_sample_get_buffer");
    int (*map)(void *, MapInfo *, int) = symbol("gst_buffer_map");
    void (*unmap)(void *, MapInfo *) = symbol("gst_buffer_unmap");
    void (*unref)(void *) = symbol("gst_mini_object_unref");
    for (uint64_t number = 0; number < frames; number++) {
        void *sample = pull(app);
        MapInfo info;
        if (!sample || !map(buffer_of(sample), &info, 1)) {
            fprintf(stderr, "handover: the stream ended at frame %lu\n", number);
            exit(1);
        }
        take(info.data, number);
        unmap(buffer_of(sample), &info);
        unref(sample);
    }
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "handover ring-send|ring-read|gst-send|gst-read SOCKET FRAMES [FRAMES-PER-SECOND]\n");
        return 2;
    }
    frames = strtoull(words[3], NULL, 10);
    if (count > 4 && atoi(words[4])) period_ns = 1000000000u / (uint64_t)atoi(words[4]);
    picture = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) picture[i] = (uint8_t)(i * 31 % 251);
    handed = calloc(frames, sizeof *handed), done = calloc(frames, sizeof *done);
    const char *role = words[1];
    if (!strcmp(role, "ring-send")) ring_send(words[2]);
    else if (!strcmp(role, "gst-send")) gst_send(words[2]);
    else if (!strcmp(role, "ring-read")) ring_read(words[2]), report();
    else if (!strcmp(role, "gst-read")) gst_read(words[2]), report();
    else return 2;
    if (strstr(role, "send")) printf("{\"cpu_ms\": %.4f}\n", cpu_ms() / (double)frames);
    return 0;
}
