/* The ungated book in C: the layout of market/kernel.py, one struct per book, as a yardstick for the compiled kernel.
 *
 * Both ladders have their best price at the lowest rung: an ask at its level, a bid at the mirrored level. Occupied
 * rungs are bits, sixty-four to a word, and non-empty words are bits of a summary. Orders of one rung are a list
 * through a fixed pool. LEVELS (a multiple of 64) and POOL come from the compiler's command line.
 */
#include <stdint.h>
#include <stdlib.h>

enum { BUY, SELL };
enum { LIMIT, CANCEL, TAKE };
enum { TRADE, CANCELLED, UNKNOWN, BOOK_FULL };
#define WORDS (LEVELS / 64)
#define BLOCKS ((WORDS + 63) / 64)

typedef struct {
    int8_t kind, side;
    int32_t level, handle;
    int64_t quantity;
} Message;

typedef struct {
    int8_t kind;
    int32_t message, handle, resting, level;
    int64_t quantity;
} Event;

typedef struct {
    int64_t quantity;
    int32_t handle, level, previous, next;
    int8_t side;
} Order;

typedef struct {
    int32_t best[2], free, live;
    int32_t head[2][LEVELS], tail[2][LEVELS];
    uint64_t bits[2][WORDS], summary[2][BLOCKS];
    Order orders[POOL];
} Book;

/* The lowest occupied rung at or after `start`, or LEVELS. */
static int32_t first_level(const Book *book, int side, int32_t start) {
    if (start >= LEVELS) return LEVELS;
    int32_t word = start >> 6;
    uint64_t found = book->bits[side][word] & (~UINT64_C(0) << (start & 63));
    if (found) return (word << 6) + __builtin_ctzll(found);
    word += 1;
    int32_t block = word >> 6;
    if (block >= BLOCKS) return LEVELS;
    uint64_t occupied = book->summary[side][block] & (~UINT64_C(0) << (word & 63));
    while (!occupied) {
        if (++block >= BLOCKS) return LEVELS;
        occupied = book->summary[side][block];
    }
    word = (block << 6) + __builtin_ctzll(occupied);
    return (word << 6) + __builtin_ctzll(book->bits[side][word]);
}

static int32_t rung_of(int side, int32_t level) { return side == SELL ? level : LEVELS - 1 - level; }

static void link_order(Book *book, int32_t index) {
    Order *order = &book->orders[index];
    int side = order->side;
    int32_t rung = rung_of(side, order->level), last = book->tail[side][rung];
    order->previous = last;
    order->next = -1;
    book->tail[side][rung] = index;
    if (last >= 0) {
        book->orders[last].next = index;
        return;
    }
    book->head[side][rung] = index;
    book->bits[side][rung >> 6] |= UINT64_C(1) << (rung & 63);
    book->summary[side][rung >> 12] |= UINT64_C(1) << ((rung >> 6) & 63);
    if (rung < book->best[side]) book->best[side] = rung;
}

/* Take an order out of the book for good. */
static void release(Book *book, int32_t *where, int32_t index) {
    Order *order = &book->orders[index];
    int side = order->side;
    int32_t rung = rung_of(side, order->level), before = order->previous, after = order->next;
    if (before >= 0) book->orders[before].next = after;
    else book->head[side][rung] = after;
    if (after >= 0) book->orders[after].previous = before;
    else book->tail[side][rung] = before;
    if (book->head[side][rung] < 0) {
        int32_t word = rung >> 6;
        book->bits[side][word] &= ~(UINT64_C(1) << (rung & 63));
        if (!book->bits[side][word]) book->summary[side][word >> 6] &= ~(UINT64_C(1) << (word & 63));
        if (rung == book->best[side]) book->best[side] = first_level(book, side, rung);
    }
    where[order->handle] = -1;
    order->next = book->free;
    book->free = index;
    book->live -= 1;
}

static void submit(Book *book, int32_t *where, const Message *message, int32_t number, Event *events, int64_t *count) {
    int side = message->side, other = 1 - side;
    int32_t level = message->kind == TAKE ? (side == BUY ? LEVELS - 1 : 0) : message->level;
    int32_t limit = side == BUY ? level : LEVELS - 1 - level;
    int64_t remaining = message->quantity;
    if (book->free < 0 && message->kind != TAKE) {
        events[(*count)++] = (Event){BOOK_FULL, number, message->handle, -1, level, remaining};
        return;
    }
    while (remaining > 0 && book->best[other] <= limit) {
        int32_t index = book->head[other][book->best[other]];
        Order *order = &book->orders[index];
        int64_t quantity = remaining < order->quantity ? remaining : order->quantity;
        remaining -= quantity;
        order->quantity -= quantity;
        events[(*count)++] = (Event){TRADE, number, message->handle, order->handle, order->level, quantity};
        if (order->quantity == 0) release(book, where, index);
    }
    if (remaining == 0) return;
    if (message->kind == TAKE) {
        events[(*count)++] = (Event){CANCELLED, number, message->handle, -1, level, remaining};
        return;
    }
    int32_t index = book->free;
    Order *order = &book->orders[index];
    book->free = order->next;
    book->live += 1;
    order->quantity = remaining;
    order->handle = message->handle;
    order->level = level;
    order->side = (int8_t)side;
    where[message->handle] = index;
    link_order(book, index);
}

/* A new book, NULL without memory. */
Book *book_new(void) {
    Book *book = calloc(1, sizeof(Book));
    if (!book) return NULL;
    for (int side = 0; side < 2; side++) {
        book->best[side] = LEVELS;
        for (int32_t rung = 0; rung < LEVELS; rung++) book->head[side][rung] = book->tail[side][rung] = -1;
    }
    for (int32_t index = 0; index < POOL; index++) book->orders[index].next = index + 1 < POOL ? index + 1 : -1;
    return book;
}

void book_free(Book *book) { free(book); }

/* Carry out messages; `where` has the pool index of each handle, -1 if it does not rest. Returns the events written,
 * of which `events` must have room for two a message and one a resting order that trades. */
int64_t book_run(Book *book, int32_t *where, const Message *messages, int64_t length, Event *events) {
    int64_t count = 0;
    for (int64_t number = 0; number < length; number++) {
        const Message *message = &messages[number];
        if (message->kind != CANCEL) {
            submit(book, where, message, (int32_t)number, events, &count);
            continue;
        }
        int32_t index = where[message->handle];
        if (index < 0) {
            events[count++] = (Event){UNKNOWN, (int32_t)number, message->handle, -1, -1, 0};
            continue;
        }
        Order *order = &book->orders[index];
        events[count++] = (Event){CANCELLED, (int32_t)number, order->handle, -1, order->level, order->quantity};
        release(book, where, index);
    }
    return count;
}
