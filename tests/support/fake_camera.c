/* A V4L2 camera where there is none: loaded with LD_PRELOAD, it answers for one device path.

   cc -shared -fPIC -O1 -o fake_camera.so fake_camera.c -ldl

   FAKE_CAMERA is the path, FAKE_CAMERA_DIR a folder with
     modes      lines of "MJPG 1920 1080 30 15": format, size, rates
     WxH.jpg    the picture that an MJPG mode of that size delivers
     rate       what it really delivers, in frames/s, if that is less than it states
     unplugged  present while the camera is unplugged: it cannot be opened, and what is open fails

   The device is a memfd, so that its buffers can be mapped as a real one's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MODES 64
#define RATES 8
#define BUFFERS 4
#define LENGTH (1920 * 1088 * 2)

struct mode { unsigned fourcc, width, height, rates[RATES]; int nrates; };
struct camera {
    int fd, nmodes, mode, rate, head, tail, queue[BUFFERS + 1];
    struct mode modes[MODES];
    double due;
    unsigned sequence;
};
static struct camera cameras[8];

static int file(const char *name, char *path, size_t size)
{
    const char *folder = getenv("FAKE_CAMERA_DIR");
    snprintf(path, size, "%s/%s", folder ? folder : ".", name);
    return access(path, F_OK) == 0;
}

static int unplugged(void)
{
    char path[512];
    return file("unplugged", path, sizeof path);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static struct camera *of(int fd)
{
    for (int i = 0; i < 8; i++)
        if (cameras[i].fd == fd && fd > 0) return &cameras[i];
    return NULL;
}

static int plug_in(void)
{
    char path[512], line[256], fourcc[5];
    if (unplugged()) { errno = ENOENT; return -1; }
    struct camera *c = NULL;
    for (int i = 0; i < 8 && !c; i++)
        if (cameras[i].fd <= 0) c = &cameras[i];
    if (!c) { errno = EBUSY; return -1; }
    memset(c, 0, sizeof *c);
    file("modes", path, sizeof path);
    FILE *f = fopen(path, "r");
    while (f && c->nmodes < MODES && fgets(line, sizeof line, f)) {
        struct mode *m = &c->modes[c->nmodes];
        int used, more;
        if (sscanf(line, "%4s %u %u%n", fourcc, &m->width, &m->height, &used) < 3) continue;
        m->fourcc = v4l2_fourcc(fourcc[0], fourcc[1], fourcc[2], fourcc[3]);
        while (m->nrates < RATES && sscanf(line + used, "%u%n", &m->rates[m->nrates], &more) == 1) {
            used += more;
            m->nrates++;
        }
        c->nmodes++;
    }
    if (f) fclose(f);
    c->fd = memfd_create("fake camera", MFD_CLOEXEC);
    if (ftruncate(c->fd, (off_t)BUFFERS * LENGTH)) return -1;
    return c->fd;
}

static int asked_for(const char *path)
{
    const char *device = getenv("FAKE_CAMERA");
    return device && path && strcmp(path, device) == 0;
}

#define OPEN(NAME)                                                        \
    int NAME(const char *path, int flags, ...)                            \
    {                                                                     \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        int mode = va_arg(rest, int);                                     \
        va_end(rest);                                                     \
        if (asked_for(path)) return plug_in();                            \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME);    \
        return real(path, flags, mode);                                   \
    }
OPEN(open)
OPEN(open64)

int close(int fd)
{
    struct camera *c = of(fd);
    if (c) c->fd = 0;
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    return real(fd);
}

static int fail(int error) { errno = error; return -1; }

/* The nth different format, or one format's nth mode. */
static struct mode *nth_format(struct camera *c, unsigned n)
{
    for (int i = 0; i < c->nmodes; i++) {
        int seen = 0;
        for (int j = 0; j < i; j++) seen |= c->modes[j].fourcc == c->modes[i].fourcc;
        if (!seen && n-- == 0) return &c->modes[i];
    }
    return NULL;
}

static struct mode *nth_mode(struct camera *c, unsigned fourcc, unsigned n)
{
    for (int i = 0; i < c->nmodes; i++)
        if (c->modes[i].fourcc == fourcc && n-- == 0) return &c->modes[i];
    return NULL;
}

static int set_format(struct camera *c, struct v4l2_format *f, int keep)
{
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
    struct v4l2_pix_format *p = &f->fmt.pix;
    int best = c->mode;
    if (keep >= 0) {
        long least = -1;
        for (int i = 0; i < c->nmodes; i++) {
            struct mode *m = &c->modes[i];
            long away = labs((long)m->width - p->width) + labs((long)m->height - p->height);
            if (m->fourcc != p->pixelformat) away += 100000;
            if (least < 0 || away < least) { least = away; best = i; }
        }
        if (keep) { c->mode = best; c->rate = c->modes[best].rates[0]; }
    }
    struct mode *m = &c->modes[best];
    memset(p, 0, sizeof *p);
    p->width = m->width;
    p->height = m->height;
    p->pixelformat = m->fourcc;
    p->field = V4L2_FIELD_NONE;
    p->bytesperline = m->width * 2;
    p->sizeimage = LENGTH;
    p->colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int set_rate(struct camera *c, struct v4l2_streamparm *s, int set)
{
    if (s->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
    struct v4l2_captureparm *p = &s->parm.capture;
    struct mode *m = &c->modes[c->mode];
    if (set && p->timeperframe.numerator) {
        double asked = (double)p->timeperframe.denominator / p->timeperframe.numerator;
        int best = 0;
        for (int i = 0; i < m->nrates; i++) {
            double away = m->rates[i] - asked, least = m->rates[best] - asked;
            if (away * away < least * least) best = i;
        }
        c->rate = m->rates[best];
    }
    memset(p, 0, sizeof *p);
    p->capability = V4L2_CAP_TIMEPERFRAME;
    p->timeperframe.numerator = 1;
    p->timeperframe.denominator = c->rate ? c->rate : (int)m->rates[0];
    return 0;
}

static int deliver(struct camera *c, struct v4l2_buffer *b)
{
    char name[64], path[512];
    double rate = c->rate;
    FILE *f;
    if (file("rate", path, sizeof path) && (f = fopen(path, "r"))) {
        double real;
        if (fscanf(f, "%lf", &real) == 1 && real < rate) rate = real;
        fclose(f);
    }
    c->due = (c->due < now() - 1 ? now() : c->due) + 1 / rate;
    while (now() < c->due) {
        if (unplugged()) return fail(ENODEV);
        struct timespec t = {0, 2000000};
        nanosleep(&t, NULL);
    }
    if (c->head == c->tail) return fail(EAGAIN);
    int index = c->queue[c->tail];
    c->tail = (c->tail + 1) % (BUFFERS + 1);
    struct mode *m = &c->modes[c->mode];
    off_t start = (off_t)index * LENGTH;
    ssize_t length = 0;
    if (m->fourcc == V4L2_PIX_FMT_MJPEG) {
        static __thread char jpeg[LENGTH];
        snprintf(name, sizeof name, "%ux%u.jpg", m->width, m->height);
        file(name, path, sizeof path);
        if ((f = fopen(path, "r"))) {
            length = fread(jpeg, 1, sizeof jpeg, f);
            fclose(f);
        }
        if (pwrite(c->fd, jpeg, length, start) != length) return fail(EIO);
    } else {
        length = (ssize_t)m->width * m->height * 2;
    }
    unsigned type = b->type;
    memset(b, 0, sizeof *b);
    b->index = index;
    b->type = type;
    b->bytesused = length;
    b->length = LENGTH;
    b->memory = V4L2_MEMORY_MMAP;
    b->m.offset = start;
    b->sequence = c->sequence++;
    b->timestamp.tv_sec = (time_t)now();
    return 0;
}

static int answer(struct camera *c, unsigned long request, void *argument)
{
    struct mode *m;
    if (unplugged()) return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *q = argument;
        memset(q, 0, sizeof *q);
        strcpy((char *)q->driver, "fake");
        strcpy((char *)q->card, "Fake Camera");
        strcpy((char *)q->bus_info, "usb-0");
        q->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        q->capabilities = q->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *q = argument;
        if (q->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || !(m = nth_format(c, q->index)))
            return fail(EINVAL);
        q->pixelformat = m->fourcc;
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *q = argument;
        if (!(m = nth_mode(c, q->pixel_format, q->index))) return fail(EINVAL);
        q->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        q->discrete.width = m->width;
        q->discrete.height = m->height;
        return 0;
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *q = argument;
        for (int i = 0; (m = nth_mode(c, q->pixel_format, i)); i++)
            if (m->width == q->width && m->height == q->height) break;
        if (!m || (int)q->index >= m->nrates) return fail(EINVAL);
        q->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        q->discrete.numerator = 1;
        q->discrete.denominator = m->rates[q->index];
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *q = argument;
        if (q->index) return fail(EINVAL);
        memset(q, 0, sizeof *q);
        q->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return *(int *)argument ? fail(EINVAL) : 0;
    case VIDIOC_G_FMT: return set_format(c, argument, -1);
    case VIDIOC_TRY_FMT: return set_format(c, argument, 0);
    case VIDIOC_S_FMT: return set_format(c, argument, 1);
    case VIDIOC_G_PARM: return set_rate(c, argument, 0);
    case VIDIOC_S_PARM: return set_rate(c, argument, 1);
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *q = argument;
        if (q->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || q->memory != V4L2_MEMORY_MMAP)
            return fail(EINVAL);
        if (q->count > BUFFERS) q->count = BUFFERS;
        c->head = c->tail = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *q = argument;
        q->length = LENGTH;
        q->m.offset = q->index * LENGTH;
        return 0;
    }
    case VIDIOC_QBUF:
        c->queue[c->head] = ((struct v4l2_buffer *)argument)->index;
        c->head = (c->head + 1) % (BUFFERS + 1);
        return 0;
    case VIDIOC_DQBUF: return deliver(c, argument);
    case VIDIOC_STREAMON: c->due = 0; return 0;
    case VIDIOC_STREAMOFF: c->head = c->tail = 0; return 0;
    }
    return fail(EINVAL);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    struct camera *c = of(fd);
    /* Python and OpenCV hand the request on as an int in places: its sign bit must not spread. */
    if (c) return answer(c, request & 0xffffffff, argument);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
