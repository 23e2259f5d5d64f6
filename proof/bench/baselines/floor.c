/* The kernel's floor of a delivery: one send() of a message to each of N TCP connections on loopback, round after round.
 *
 * floor N BYTES SECONDS SENDER_CORE READER_CORE
 *
 * The reader is a process of its own that empties all sockets and says after each round that everything of it was
 * read; at most four rounds are under way, as with four senders in a closed loop. Printed: sends, seconds, and the
 * sender's own CPU microseconds for one send (its share of the kernel's work included).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNDER_WAY = 4, EVENTS = 256, BUFFER = 1 << 18 };

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void stay_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores)) die("sched_setaffinity");
}

static void read_all(int *ends, int count, long bytes, int told) {
    static char buffer[BUFFER];
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0);
    long long got = 0, round = (long long)bytes * count, rounds = 0;
    if (poll < 0) die("epoll_create1");
    for (int i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = ends[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, ends[i], &e)) die("epoll_ctl");
    }
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            ssize_t n = recv(events[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n == 0) _exit(0);
            if (n > 0) got += n;
        }
        for (; got >= (rounds + 1) * round; rounds++)
            if (write(told, "r", 1) != 1) _exit(0);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int count = atoi(argv[1]), bytes = atoi(argv[2]);
    double seconds = atof(argv[3]);
    int *writers = calloc(count, sizeof(int)), *readers = calloc(count, sizeof(int)), pipes[2], one = 1;
    char *message = malloc(bytes);
    memset(message, 'x', bytes);

    int door = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(door, (struct sockaddr *)&address, size) || listen(door, 1024)) die("listen");
    getsockname(door, (struct sockaddr *)&address, &size);
    for (int i = 0; i < count; i++) {
        readers[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (readers[i] < 0 || connect(readers[i], (struct sockaddr *)&address, size)) die("connect");
        writers[i] = accept(door, NULL, NULL);
        if (writers[i] < 0) die("accept");
        setsockopt(writers[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (pipe(pipes)) die("pipe");

    pid_t reader = fork();
    if (reader == 0) {
        stay_on(atoi(argv[5]));
        for (int i = 0; i < count; i++) close(writers[i]);
        close(pipes[0]);
        read_all(readers, count, bytes, pipes[1]);
    }
    stay_on(atoi(argv[4]));
    for (int i = 0; i < count; i++) close(readers[i]);
    close(pipes[1]);

    long long sent = 0;
    int under_way = 0;
    char said[UNDER_WAY];
    double warm = now() + 0.3, used = 0, began = 0, until = warm + seconds;
    while (now() < until) {
        if (!began && now() >= warm) { began = now(); used = cpu(); sent = 0; }
        for (int i = 0; i < count; i++) {
            if (send(writers[i], message, bytes, 0) != bytes) die("send");
        }
        sent += count;
        if (++under_way == UNDER_WAY) {
            ssize_t n = read(pipes[0], said, sizeof said);
            if (n <= 0) die("the reader is gone");
            under_way -= n;
        }
    }
    used = cpu() - used;
    printf("{\"sends\": %lld, \"seconds\": %.6f, \"us_a_send\": %.4f}\n", sent, now() - began, 1e6 * used / sent);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    return 0;
}
