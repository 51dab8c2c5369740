/* The least a receiver can do: parse the frames, put an envelope before each, append them to a file. No check, no sync.
 *
 *     receiver PORT FILE */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 20, OUT_BYTES = 1 << 18, MAX_LINE = 4096 };

static const char HANDSHAKE[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

static char in[IN_BYTES], out[OUT_BYTES + MAX_LINE];
static size_t filled, gathered;
static int file;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void flush(void) {
    for (size_t done = 0; done < gathered;) {
        ssize_t written = write(file, out + done, gathered - done);
        if (written < 0) fail("receiver: write");
        done += written;
    }
    gathered = 0;
}

static void append(const char *payload, size_t size) {
    static unsigned long record_no;
    static time_t second;
    static char until[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        second = now.tv_sec;
        strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%S", gmtime(&second));
    }
    gathered += sprintf(out + gathered,
                        "{\"received_at\":\"%s.%06ldZ\",\"streamer_id\":\"bench\",\"session_id\":\"20260707T225816Z-3f9a2c41\","
                        "\"record_no\":%lu,\"connection_no\":1,",
                        until, now.tv_nsec / 1000, ++record_no);
    memcpy(out + gathered, payload + 1, size - 1);
    gathered += size - 1;
    out[gathered++] = '\n';
    if (gathered >= OUT_BYTES) flush();
}

/* Take the whole frames out of what was read; how many bytes they were. */
static size_t take_frames(void) {
    size_t at = 0;
    while (filled - at >= 4) {
        uint8_t *head = (uint8_t *)in + at;
        size_t size = head[1] & 127, start = 2;
        if (size == 126) size = head[2] << 8 | head[3], start = 4;
        if (size > 65535 || (head[0] != 0x81 && head[0] != 0x88)) fprintf(stderr, "unexpected frame\n"), exit(1);
        if (filled - at < start + size) break;
        if (head[0] == 0x81) append((char *)head + start, size);
        at += start + size;
    }
    return at;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: receiver PORT FILE\n"), 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) fail("receiver: open");
    if (connect(peer, (struct sockaddr *)&address, sizeof address)) fail("receiver: connect");
    if (write(peer, HANDSHAKE, sizeof HANDSHAKE - 1) < 0) fail("receiver: handshake");
    char *end = NULL;
    while (!end) {
        ssize_t got = read(peer, in + filled, IN_BYTES - filled - 1);
        if (got <= 0) fail("receiver: handshake");
        filled += got;
        in[filled] = 0;
        end = strstr(in, "\r\n\r\n");
    }
    filled -= end + 4 - in;
    memmove(in, end + 4, filled);
    for (;;) {
        size_t taken = take_frames();
        filled -= taken;
        memmove(in, in + taken, filled);
        ssize_t got = recv(peer, in + filled, IN_BYTES - filled, MSG_DONTWAIT);
        if (got < 0) { /* nothing there: bring out what has gathered, then wait */
            flush();
            got = read(peer, in + filled, IN_BYTES - filled);
        }
        if (got <= 0) break;
        filled += got;
    }
    flush();
    return 0;
}
