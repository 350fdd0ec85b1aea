/* Many connections that ask as soon as they were answered: `load FILE PORT CONNECTIONS SECONDS`.

   FILE holds requests, each as two uint32 (bytes of the request, bytes of the body that must answer it) and the
   request itself. After SECONDS nothing more is asked, and what is on its way is waited for, so that the server has
   nothing left to do. stdout gets the latencies of all answers as float32 milliseconds, stderr the seconds that it took.
   In C because it shares a core with the database: a request takes it 10 µs, and uvloop 18. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONNECTIONS 1024
#define PATIENCE_MS 20000 /* for any answer at all: past it there is no figure, only a fault */

struct request { const char *bytes; uint32_t size, answer; };
struct connection { int fd; size_t next, missing; double asked; };

static struct request *requests;
static size_t count;
static char answer[1 << 18];

static void fail(const char *why, const char *what, size_t size) {
    fprintf(stderr, "%s: %.*s\n", why, (int)(size < 500 ? size : 500), what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void load_requests(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0) fail("cannot be read", path, strlen(path));
    char *all = malloc(about.st_size), *end = all + about.st_size;
    if (read(fd, all, about.st_size) != about.st_size) fail("cannot be read whole", path, strlen(path));
    requests = calloc(about.st_size / 8 + 1, sizeof *requests);
    for (char *at = all; at < end; at += requests[count++].size) {
        memcpy(&requests[count].size, at, 8);
        requests[count].bytes = at += 8;
    }
    close(fd);
}

static void ask(struct connection *c) {
    struct request *r = &requests[c->next];
    c->asked = now();
    if (send(c->fd, r->bytes, r->size, MSG_NOSIGNAL) != (ssize_t)r->size) fail("cannot ask", r->bytes, r->size);
}

/* Head and body that the answer begins with, in bytes. */
static size_t size_of(size_t got, uint32_t expected) {
    char *end = memmem(answer, got, "\r\n\r\n", 4);
    if (!end || got < 13 || memcmp(answer, "HTTP/1.1 200 ", 13)) fail("not answered with 200", answer, got);
    for (char *line = answer; line < end; line = (char *)memchr(line, '\n', end + 4 - line) + 1)
        if (!strncasecmp(line, "content-length:", 15)) {
            if (strtoul(line + 15, NULL, 10) != expected) fail("another length than before", answer, got);
            return end + 4 - answer + expected;
        }
    fail("without content-length", answer, got);
    return 0;
}

static int answered(struct connection *c) {
    ssize_t got = recv(c->fd, answer, sizeof answer, 0);
    if (got <= 0) fail("the server closed the connection", "", 0);
    if (!c->missing) c->missing = size_of(got, requests[c->next].answer);
    if ((size_t)got > c->missing) fail("longer than it said", answer, got);
    return !(c->missing -= got);
}

int main(int argc, char **argv) {
    static struct connection all[MOST_CONNECTIONS];
    struct epoll_event events[64], event = {.events = EPOLLIN};
    if (argc != 5 || atoi(argv[3]) > MOST_CONNECTIONS) fail("usage: load FILE PORT CONNECTIONS SECONDS", "", 0);
    load_requests(argv[1]);
    int connections = atoi(argv[3]), epoll = epoll_create1(0), yes = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double begin = now(), end = begin + atof(argv[4]) * 1e3;
    for (int i = 0; i < connections; i++) {
        struct connection *c = event.data.ptr = &all[i];
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        c->next = i * count / connections;
        if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) fail("cannot connect to port", argv[2], strlen(argv[2]));
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
        ask(c);
    }
    for (int open = connections; open;) {
        int ready = epoll_wait(epoll, events, 64, PATIENCE_MS);
        if (ready <= 0) fail("nothing was answered", "", 0);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!answered(c)) continue;
            double at = now();
            float took = at - c->asked;
            fwrite(&took, sizeof took, 1, stdout);
            if (at >= end) {
                close(c->fd);
                open--;
                continue;
            }
            c->next = (c->next + 1) % count;
            ask(c);
        }
    }
    fprintf(stderr, "%f\n", (now() - begin) / 1e3);
    return fflush(stdout) != 0;
}
