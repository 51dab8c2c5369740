/* Sends the exchange's frames into a connected WebSocket, which is standard input, as fast as it takes them or paced.
 *
 *     generator COUNT RATE exchange|advanced      RATE in messages a second, 0: as fast as possible
 *
 * The frames of one lap are made once; every lap the trade ids in them are counted up in place, so that sending a frame
 * costs next to nothing. When all are sent one JSON object is printed: sent, seconds, cpu_seconds, late_seconds (the
 * furthest it fell behind its pace). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PRODUCTS = 4, TRADES = 2000, HEARTBEAT_EVERY = 50, IDS = TRADES / PRODUCTS, ID_DIGITS = 10 };
enum { MAX_FRAMES = 3 * TRADES, MAX_SPOTS = 2 * MAX_FRAMES, BLOCK = 64 * 1024 };

static const char *PRODUCT[PRODUCTS] = {"BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"};
static const char *PRICE[PRODUCTS] = {"64035.17", "1774.92", "148.31", "2.4718"};

/* # stands for the trade id, @ for the product, $ for the price. */
static const char *EXCHANGE[] = {
    "{\"type\":\"match\",\"trade_id\":#,\"maker_order_id\":\"6b380eba-fd1d-43a8-91a0-fdb06e6ce87f\","
    "\"taker_order_id\":\"b3639a38-ae66-493c-96ba-d2319e503590\",\"side\":\"buy\",\"size\":\"0.16908161\",\"price\":\"$\","
    "\"product_id\":\"@\",\"sequence\":7#,\"time\":\"2026-07-07T22:58:16.156605Z\"}",
    "{\"type\":\"ticker\",\"sequence\":7#,\"product_id\":\"@\",\"price\":\"$\",\"open_24h\":\"1790.11\","
    "\"volume_24h\":\"118233.90417711\",\"low_24h\":\"1741.02\",\"high_24h\":\"1801.55\",\"volume_30d\":\"4520163.55103918\","
    "\"best_bid\":\"$\",\"best_bid_size\":\"0.56100580\",\"best_ask\":\"$\",\"best_ask_size\":\"1.20049731\","
    "\"side\":\"sell\",\"time\":\"2026-07-07T22:58:16.156605Z\",\"trade_id\":#,\"last_size\":\"0.16908161\"}",
    "{\"type\":\"heartbeat\",\"last_trade_id\":#,\"product_id\":\"@\",\"sequence\":7#,"
    "\"time\":\"2026-07-07T22:58:17.000000Z\"}",
};

/* The same in the exchange's other protocol, which cryptofeed speaks. */
static const char *ADVANCED[] = {
    "{\"channel\":\"market_trades\",\"client_id\":\"\",\"timestamp\":\"2026-07-07T22:58:16.160112233Z\",\"events\":[{"
    "\"type\":\"update\",\"trades\":[{\"product_id\":\"@\",\"trade_id\":\"#\",\"price\":\"$\",\"size\":\"0.16908161\","
    "\"time\":\"2026-07-07T22:58:16.156605Z\",\"side\":\"BUY\"}]}]}",
    "{\"channel\":\"ticker\",\"client_id\":\"\",\"timestamp\":\"2026-07-07T22:58:16.160112233Z\",\"events\":[{"
    "\"type\":\"update\",\"tickers\":[{\"type\":\"ticker\",\"product_id\":\"@\",\"price\":\"$\","
    "\"volume_24_h\":\"118233.90417711\",\"low_24_h\":\"1741.02\",\"high_24_h\":\"1801.55\",\"low_52_w\":\"1011.00\","
    "\"high_52_w\":\"4950.00\",\"price_percent_chg_24_h\":\"0.0977\",\"best_bid\":\"$\",\"best_ask\":\"$\","
    "\"best_bid_quantity\":\"0.56100580\",\"best_ask_quantity\":\"1.20049731\"}]}]}",
    "{\"channel\":\"heartbeats\",\"client_id\":\"\",\"timestamp\":\"2026-07-07T22:58:17.000000000Z\",\"events\":[{"
    "\"current_time\":\"2026-07-07 22:58:17 UTC\",\"heartbeat_counter\":#}]}",
};

static char lap[MAX_FRAMES * 600];
static size_t frame_end[MAX_FRAMES], frames;
static char *spot[MAX_SPOTS];
static size_t spots;

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void put_id(char *at, unsigned long id) {
    for (int digit = ID_DIGITS; digit--; id /= 10) at[digit] = '0' + id % 10;
}

/* One frame of the lap: a header of RFC 6455, unmasked, and the template with its gaps filled. */
static void add_frame(const char *template, int product, unsigned long id) {
    char *start = lap + (frames ? frame_end[frames - 1] : 0), *at = start + 4;
    for (; *template; template++) {
        if (*template == '#') {
            spot[spots++] = at;
            put_id(at, id);
            at += ID_DIGITS;
        } else if (*template == '@') {
            at = stpcpy(at, PRODUCT[product]);
        } else if (*template == '$') {
            at = stpcpy(at, PRICE[product]);
        } else {
            *at++ = *template;
        }
    }
    size_t size = at - start - 4;
    if (size < 126) { /* the short header is two bytes shorter */
        memmove(start + 2, start + 4, size);
        for (size_t i = spots; i-- && spot[i] >= start + 4;) spot[i] -= 2;
        at -= 2;
        start[1] = size;
    } else {
        start[1] = 126;
        start[2] = size >> 8;
        start[3] = size & 255;
    }
    start[0] = (char)0x81;
    frame_end[frames++] = at - lap;
}

static void make_lap(const char **template) {
    for (int trade = 0; trade < TRADES; trade++) {
        unsigned long id = 1000000001UL + trade / PRODUCTS;
        add_frame(template[0], trade % PRODUCTS, id);
        add_frame(template[1], trade % PRODUCTS, id);
        if (trade % HEARTBEAT_EVERY == HEARTBEAT_EVERY - 1) add_frame(template[2], trade % PRODUCTS, id);
    }
}

static void next_lap(void) {
    for (size_t i = 0; i < spots; i++) put_id(spot[i], strtoul(strndupa(spot[i], ID_DIGITS), NULL, 10) + IDS);
}

static void send_all(const char *from, size_t size) {
    while (size) {
        ssize_t sent = write(0, from, size);
        if (sent < 0 && errno != EINTR) fail("generator: write");
        if (sent > 0) from += sent, size -= sent;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: generator COUNT RATE exchange|advanced\n"), 2;
    unsigned long count = strtoul(argv[1], NULL, 10), sent = 0;
    double rate = strtod(argv[2], NULL), late = 0;
    make_lap(strcmp(argv[3], "advanced") ? EXCHANGE : ADVANCED);
    double started = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (sent < count) {
        if (sent) next_lap();
        for (size_t frame = 0; frame < frames && sent < count;) {
            size_t from = frame ? frame_end[frame - 1] : 0, next = frame + 1;
            if (rate > 0) {
                double due = started + sent / rate, now = seconds(CLOCK_MONOTONIC);
                if (now < due) usleep((due - now) * 1e6);
                else if (now - due > late) late = now - due;
            } else {
                while (next < frames && frame_end[next] - from <= BLOCK && next - frame < count - sent) next++;
            }
            send_all(lap + from, frame_end[next - 1] - from);
            sent += next - frame;
            frame = next;
        }
    }
    printf("{\"sent\":%lu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"late_seconds\":%.6f}\n", sent,
           seconds(CLOCK_MONOTONIC) - started, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, late);
    return 0;
}
