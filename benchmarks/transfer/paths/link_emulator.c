/* A long, slow or lossy link between two network namespaces, for `cryoferry bench transfer --emulate`.
 *
 *   link_emulator NAMESPACE_A NAMESPACE_B RATE_BIT_PER_S ROUND_TRIP_S LOSS QUEUE_BYTES SEED
 *
 * Each namespace gets a TUN device `link0`; what one sends comes out of the other after it has been
 *   - serialised at RATE_BIT_PER_S, behind at most QUEUE_BYTES that wait (what does not fit is dropped, tail drop),
 *   - lost with probability LOSS, each segment by itself, both ways,
 *   - delayed by half of ROUND_TRIP_S.
 * The kernel hands over TCP segments in bundles (TSO, struct virtio_net_hdr) and takes them so: that is what lets one
 * core carry 1 Gb/s. Rate, queue and loss act on every segment all the same: a bundle is cut around what is lost.
 *
 * Prints one line of JSON when the devices are there, and one of counters when SIGTERM or SIGINT ends it.
 * Linux only; needs CAP_NET_ADMIN and CAP_SYS_ADMIN. IPv4 only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    OFFLOAD_HEADER = sizeof(struct virtio_net_hdr),
    MOST_PACKET = 65536,
    MOST_HEADERS = 60 + 60, /* IPv4 and TCP with all options */
    READS_IN_A_ROW = 32,
    SHORTEST_SLEEP_NS = 50000,
};

typedef struct {
    uint64_t release_ns;
    size_t size;
    uint8_t *bytes;
} Packet;

typedef struct {
    int in, out;
    uint64_t idle_ns; /* when the link will have sent all that waits */
    Packet *ring;
    size_t capacity, first, count;
    uint64_t segments, bytes, lost, overflowed, refused, longest_queue_bytes;
} Direction;

static double ns_per_byte, loss;
static uint64_t delay_ns, queue_bytes, random_state[2];
static volatile sig_atomic_t stopped;
static sigset_t while_waiting; /* signals come in only while nothing is done: none is missed */

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void fail(const char *what) {
    fprintf(stderr, "link_emulator: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* xorshift128+ (Vigna 2017, "Further scramblings of Marsaglia's xorshift generators"), uniform in [0, 1). */
static double uniform(void) {
    uint64_t a = random_state[0], b = random_state[1];
    random_state[0] = b;
    a ^= a << 23;
    random_state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return (double)((random_state[1] + b) >> 11) * 0x1p-53;
}

/* What waits to be released ------------------------------------------------------------------------------------ */

static Packet *appended(Direction *way) {
    if (way->count == way->capacity) {
        size_t larger = way->capacity ? 2 * way->capacity : 4096;
        Packet *ring = calloc(larger, sizeof *ring);
        if (!ring) fail("memory");
        for (size_t i = 0; i < way->count; i++) ring[i] = way->ring[(way->first + i) % way->capacity];
        free(way->ring);
        way->ring = ring, way->capacity = larger, way->first = 0;
    }
    return &way->ring[(way->first + way->count++) % way->capacity];
}

static void enqueue(Direction *way, const struct virtio_net_hdr *offload, const uint8_t *headers, size_t header_size,
                    const uint8_t *payload, size_t payload_size, uint64_t release_ns) {
    Packet *packet = appended(way);
    packet->release_ns = release_ns;
    packet->size = OFFLOAD_HEADER + header_size + payload_size;
    packet->bytes = malloc(packet->size);
    if (!packet->bytes) fail("memory");
    memcpy(packet->bytes, offload, OFFLOAD_HEADER);
    memcpy(packet->bytes + OFFLOAD_HEADER, headers, header_size);
    memcpy(packet->bytes + OFFLOAD_HEADER + header_size, payload, payload_size);
}

static void release_due(Direction *way, uint64_t now) {
    while (way->count && way->ring[way->first].release_ns <= now) {
        Packet *packet = &way->ring[way->first];
        if (write(way->out, packet->bytes, packet->size) < 0) {
            if (errno == EAGAIN) return;
            way->refused++;
        }
        free(packet->bytes);
        way->first = (way->first + 1) % way->capacity;
        way->count--;
    }
}

/* The link ------------------------------------------------------------------------------------------------------ */

/* Put one segment on the wire; return when it arrives, or 0 if it never does. */
static uint64_t transmitted(Direction *way, size_t size, uint64_t now) {
    if (way->idle_ns < now) way->idle_ns = now;
    uint64_t waiting = (uint64_t)((double)(way->idle_ns - now) / ns_per_byte);
    if (waiting > way->longest_queue_bytes) way->longest_queue_bytes = waiting;
    if (waiting + size > queue_bytes) {
        way->overflowed++;
        return 0;
    }
    way->idle_ns += (uint64_t)((double)size * ns_per_byte);
    if (uniform() < loss) { /* it took its time on the wire before it was lost */
        way->lost++;
        return 0;
    }
    way->segments++;
    way->bytes += size;
    return way->idle_ns + delay_ns;
}

static uint32_t added_16_bit(const uint8_t *bytes, size_t size, uint32_t sum) {
    for (; size > 1; bytes += 2, size -= 2) sum += (uint32_t)(bytes[0] << 8 | bytes[1]);
    return size ? sum + (uint32_t)(bytes[0] << 8) : sum;
}

static void put_16_bit(uint8_t *place, uint32_t value) {
    place[0] = (uint8_t)(value >> 8), place[1] = (uint8_t)value;
}

static uint32_t folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

typedef struct {
    const struct virtio_net_hdr *offload;
    const uint8_t *packet;
    size_t ip_header, headers, payload, segment, segments;
} Bundle;

static size_t end_of(const Bundle *bundle, size_t segment) {
    size_t end = (segment + 1) * bundle->segment;
    return end < bundle->payload ? end : bundle->payload;
}

/* Pass on the segments from `first` up to, without, `last` as a bundle of their own. */
static void pass_on(Direction *way, const Bundle *bundle, size_t first, size_t last, uint64_t release_ns) {
    if (first == last) return;
    uint8_t headers[MOST_HEADERS];
    memcpy(headers, bundle->packet, bundle->headers);
    struct virtio_net_hdr offload = *bundle->offload;
    size_t begin = first * bundle->segment, size = end_of(bundle, last - 1) - begin;
    offload.hdr_len = (uint16_t)bundle->headers;
    if (size <= bundle->segment) offload.gso_type = VIRTIO_NET_HDR_GSO_NONE, offload.gso_size = 0;

    size_t total = bundle->headers + size;
    put_16_bit(headers + 2, (uint32_t)total);
    put_16_bit(headers + 4, (uint32_t)(headers[4] << 8 | headers[5]) + (uint32_t)first); /* identification */
    put_16_bit(headers + 10, 0);
    put_16_bit(headers + 10, ~folded(added_16_bit(headers, bundle->ip_header, 0)));

    uint8_t *tcp = headers + bundle->ip_header;
    uint32_t sequence = ((uint32_t)tcp[4] << 24 | (uint32_t)tcp[5] << 16 | (uint32_t)tcp[6] << 8 | tcp[7]);
    sequence += (uint32_t)begin;
    put_16_bit(tcp + 4, sequence >> 16), put_16_bit(tcp + 6, sequence);
    if (last != bundle->segments) tcp[13] &= (uint8_t)~0x09; /* FIN and PSH belong to the last */
    if (first != 0) tcp[13] &= (uint8_t)~0x80;               /* CWR to the first */
    /* With checksum offload the field holds the sum of the pseudo-header; the kernel adds the rest. */
    uint32_t pseudo = added_16_bit(headers + 12, 8, 6 + (uint32_t)(total - bundle->ip_header));
    put_16_bit(tcp + 16, folded(pseudo));
    enqueue(way, &offload, headers, bundle->headers, bundle->packet + bundle->headers + begin, size, release_ns);
}

static void take_bundle(Direction *way, const Bundle *bundle, uint64_t now) {
    size_t first = 0;
    uint64_t release_ns = 0;
    for (size_t i = 0; i < bundle->segments; i++) {
        size_t payload = end_of(bundle, i) - i * bundle->segment;
        uint64_t arrives_ns = transmitted(way, bundle->headers + payload, now);
        if (arrives_ns) {
            release_ns = arrives_ns;
            continue;
        }
        pass_on(way, bundle, first, i, release_ns);
        first = i + 1;
    }
    pass_on(way, bundle, first, bundle->segments, release_ns);
}

/* Read one packet or bundle; return 0 when there is none. */
static int take(Direction *way) {
    static uint8_t buffer[OFFLOAD_HEADER + MOST_PACKET];
    ssize_t got = read(way->in, buffer, sizeof buffer);
    if (got < 0) return 0;
    if (got < OFFLOAD_HEADER + 20) return 1;
    const struct virtio_net_hdr *offload = (const void *)buffer;
    const uint8_t *packet = buffer + OFFLOAD_HEADER;
    size_t size = (size_t)got - OFFLOAD_HEADER, ip_header = (size_t)(packet[0] & 15) * 4;
    uint64_t now = now_ns();
    int is_bundle = (offload->gso_type & 0x7f) == VIRTIO_NET_HDR_GSO_TCPV4 && offload->gso_size;
    if (is_bundle && packet[0] >> 4 == 4 && size > ip_header + 20) {
        size_t headers = ip_header + (size_t)(packet[ip_header + 12] >> 4) * 4;
        if (headers < size) {
            size_t payload = size - headers, segment = offload->gso_size;
            Bundle bundle = {offload, packet, ip_header, headers, payload, segment, (payload + segment - 1) / segment};
            take_bundle(way, &bundle, now);
            return 1;
        }
    }
    uint64_t arrives_ns = transmitted(way, size, now);
    if (arrives_ns) enqueue(way, offload, packet, size, packet, 0, arrives_ns);
    return 1;
}

/* Devices and the loop ------------------------------------------------------------------------------------------ */

static int open_device(const char *name_space) {
    char path[256];
    snprintf(path, sizeof path, "/var/run/netns/%s", name_space);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET)) fail(path);
    close(space);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) fail("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strcpy(request.ifr_name, "link0");
    if (ioctl(device, TUNSETIFF, &request)) fail("TUNSETIFF");
    int header_size = OFFLOAD_HEADER, send_buffer = 1 << 30;
    if (ioctl(device, TUNSETVNETHDRSZ, &header_size)) fail("TUNSETVNETHDRSZ");
    if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) fail("TUNSETOFFLOAD");
    if (ioctl(device, TUNSETSNDBUF, &send_buffer)) fail("TUNSETSNDBUF");
    return device;
}

static void wait_for_work(struct pollfd *ready, const Direction *ways) {
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < 2; i++)
        if (ways[i].count && ways[i].ring[ways[i].first].release_ns < next_ns)
            next_ns = ways[i].ring[ways[i].first].release_ns;
    if (next_ns == UINT64_MAX) {
        ppoll(ready, 2, NULL, &while_waiting);
        return;
    }
    uint64_t now = now_ns(), rest_ns = next_ns > now ? next_ns - now : 0;
    if (rest_ns && rest_ns < SHORTEST_SLEEP_NS) rest_ns = SHORTEST_SLEEP_NS; /* fewer, fuller wake-ups */
    struct timespec rest = {(time_t)(rest_ns / 1000000000u), (long)(rest_ns % 1000000000u)};
    ppoll(ready, 2, &rest, &while_waiting);
}

static void tell(const char *name, const Direction *way, const char *after) {
    printf("\"%s\": {\"segments\": %llu, \"bytes\": %llu, \"lost\": %llu, \"overflowed\": %llu, \"refused\": %llu, "
           "\"longest_queue_bytes\": %llu}%s",
           name, (unsigned long long)way->segments, (unsigned long long)way->bytes, (unsigned long long)way->lost,
           (unsigned long long)way->overflowed, (unsigned long long)way->refused,
           (unsigned long long)way->longest_queue_bytes, after);
}

int main(int count, char **values) {
    if (count != 8) {
        fprintf(stderr, "usage: link_emulator NAMESPACE_A NAMESPACE_B RATE_BIT_PER_S ROUND_TRIP_S LOSS "
                        "QUEUE_BYTES SEED\n");
        return 2;
    }
    ns_per_byte = 8e9 / atof(values[3]);
    delay_ns = (uint64_t)(atof(values[4]) * 0.5e9);
    loss = atof(values[5]);
    queue_bytes = strtoull(values[6], NULL, 10);
    uint64_t seed = strtoull(values[7], NULL, 10);
    random_state[0] = seed * 0x9E3779B97F4A7C15u + 1, random_state[1] = seed ^ 0xD1B54A32D192ED03u;
    for (int i = 0; i < 20; i++) uniform();

    int a = open_device(values[1]), b = open_device(values[2]);
    Direction ways[2] = {{.in = a, .out = b}, {.in = b, .out = a}};
    sigset_t ends;
    sigemptyset(&ends), sigaddset(&ends, SIGTERM), sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, &while_waiting);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    printf("{\"ready\": true}\n");
    fflush(stdout);

    struct pollfd ready[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    while (!stopped) {
        uint64_t now = now_ns();
        for (int i = 0; i < 2; i++) release_due(&ways[i], now);
        ready[0].revents = ready[1].revents = 0;
        wait_for_work(ready, ways);
        for (int i = 0; i < 2; i++)
            if (ready[i].revents & POLLIN)
                for (int k = 0; k < READS_IN_A_ROW && take(&ways[i]); k++) {}
    }
    printf("{");
    tell("a_to_b", &ways[0], ", ");
    tell("b_to_a", &ways[1], "}\n");
    return 0;
}
