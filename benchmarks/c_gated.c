/* The gated book in C: `c_book.c` with the test of capacity rows, as market/kernel.py makes it for flexible orders.
 *
 * A match moves energy from the buyer's connection to the seller's. It is tested against R rows, a complex state and
 * its change per Wh at each of C connections, whose squared modulus must stay within bounds; what does not fit is
 * trimmed by the quadratic ratio test or passed over, and tried again, a few questions at a time, after a trade.
 */
#include "c_book.c"

#include <math.h>
#include <stdbool.h>

enum { LIMITED = 4 };
#define RECENT 4
#define MAX_SKIPPED 256
#define MAX_RETRIES 4
#define BLOCK 32

typedef struct {
    int64_t connections, rows, stamp;
    double *state;                           /* (2, R) */
    const double *sensitivity;               /* (C, 2, R) */
    const double *least, *most;              /* (R) */
    int64_t *schedule, *blocked;             /* (C), (C, C) */
    int32_t *witness;                        /* (C, C) */
    int64_t recent[RECENT];
} Wires;

typedef struct {
    int64_t length, room, count, kept, most;
    Event *events, *trades; /* a ring of `room`; the first `most` trades */
    const int32_t *node;    /* connection of each order by handle */
    int64_t *turn;          /* when each order came to rest, by handle */
    int64_t turns;
} Output;

/* The order that looks for partners. */
typedef struct {
    int32_t message, handle, level, candidate, asked, budget, skipped;
    int side;
    bool retrying;
    int64_t remaining;
} Taker;

static void tell(Output *out, int8_t kind, const Taker *taker, int32_t handle, int32_t resting, int32_t level,
                 int64_t quantity) {
    Event event = {kind, taker->message, handle, resting, level, quantity};
    out->events[out->count] = event;
    out->count = out->count + 1 == out->room ? 0 : out->count + 1;
    if (kind == TRADE) {
        if (out->kept < out->most) out->trades[out->kept] = event;
        out->kept += 1;
    }
}

static bool holds(const Wires *w, const double *rise, const double *fall, double moved, int64_t from, int64_t to) {
    const double *restrict re = w->state, *restrict im = w->state + w->rows;
    const double *restrict up_re = rise, *restrict up_im = rise + w->rows;
    const double *restrict down_re = fall, *restrict down_im = fall + w->rows;
    const double *restrict least = w->least, *restrict most = w->most;
    int64_t broken = 0;
    for (int64_t row = from; row < to; row++) {
        double x = re[row] + moved * (up_re[row] - down_re[row]);
        double y = im[row] + moved * (up_im[row] - down_im[row]);
        double square = x * x + y * y;
        broken |= (square > most[row] ? 1 : 0) | (square < least[row] ? 1 : 0);
    }
    return !broken;
}

static double ratio_of(const Wires *w, const double *rise, const double *fall, int64_t row) {
    double re = w->state[row], im = w->state[w->rows + row];
    double slope_re = rise[row] - fall[row], slope_im = rise[w->rows + row] - fall[w->rows + row];
    double a = slope_re * slope_re + slope_im * slope_im, b = re * slope_re + im * slope_im, present = re * re + im * im;
    double ratio = (sqrt(fmax(b * b + a * (w->most[row] - present), 0.0)) - b) / a;
    double inner = b * b - a * (present - w->least[row]);
    if (b < 0.0 && inner > 0.0) ratio = fmin(ratio, (-b - sqrt(inner)) / a);
    return fmax(ratio, 0.0);
}

/* Most of `wanted` that all rows carry; `binding` is a row that refuses more, -1 if none does. */
static int64_t fit(const Wires *w, const double *rise, const double *fall, int64_t wanted, int64_t witness,
                   int64_t *binding) {
    for (int place = -1; place < RECENT; place++) {
        int64_t row = place < 0 ? witness : w->recent[place];
        if (row >= 0 && !holds(w, rise, fall, 1.0, row, row + 1)) {
            *binding = row;
            return 0;
        }
    }
    *binding = -1;
    if (holds(w, rise, fall, (double)wanted, 0, w->rows)) return wanted;
    double ratio = INFINITY;
    for (int64_t start = 0; start < w->rows; start += BLOCK) {
        int64_t stop = start + BLOCK < w->rows ? start + BLOCK : w->rows;
        if (holds(w, rise, fall, (double)wanted, start, stop)) continue;
        for (int64_t row = start; row < stop; row++) {
            if (holds(w, rise, fall, (double)wanted, row, row + 1)) continue;
            double limit = ratio_of(w, rise, fall, row);
            if (limit < ratio) {
                ratio = limit;
                *binding = row;
            }
        }
    }
    int64_t admitted = ratio < 1.0 ? 0 : (int64_t)fmin(ratio, (double)wanted);
    while (admitted > 0 && !holds(w, rise, fall, (double)admitted, 0, w->rows)) admitted -= 1;
    return admitted;
}

static void remember(Wires *w, int64_t row) {
    for (int place = 0; place < RECENT; place++)
        if (w->recent[place] == row) return;
    for (int place = RECENT - 1; place > 0; place--) w->recent[place] = w->recent[place - 1];
    w->recent[0] = row;
}

static void shift(Wires *w, const double *rise, const double *fall, double moved) {
    double *restrict state = w->state;
    for (int64_t place = 0; place < 2 * w->rows; place++) state[place] += moved * (rise[place] - fall[place]);
}

static int32_t following(const Book *book, int other, const Order *order, int32_t limit) {
    if (order->next >= 0) return order->next;
    int32_t rung = first_level(book, other, rung_of(other, order->level) + 1);
    return rung <= limit ? book->head[other][rung] : -1;
}

/* Fill the taker from the other side, best first, as far as the wires carry it. */
static void match(Book *book, int32_t *where, Wires *w, Taker *taker, Output *out) {
    int other = 1 - taker->side;
    int32_t limit = taker->side == BUY ? taker->level : LEVELS - 1 - taker->level;
    while (taker->remaining > 0 && taker->candidate >= 0) {
        int32_t index = taker->candidate;
        Order *order = &book->orders[index];
        if (rung_of(other, order->level) > limit || taker->skipped >= MAX_SKIPPED) return;
        if (taker->retrying && taker->asked >= taker->budget) return;
        int64_t quantity = taker->remaining < order->quantity ? taker->remaining : order->quantity, admitted = 0;
        int32_t own = out->node[taker->handle], its = out->node[order->handle];
        int64_t inject = taker->side == SELL ? own : its, withdraw = taker->side == SELL ? its : own;
        int64_t pair = inject * w->connections + withdraw;
        const double *rise = w->sensitivity + inject * 2 * w->rows, *fall = w->sensitivity + withdraw * 2 * w->rows;
        if (w->blocked[pair] != w->stamp) {
            int64_t row;
            admitted = fit(w, rise, fall, quantity, w->witness[pair], &row);
            if (row >= 0) {
                w->witness[pair] = (int32_t)row;
                remember(w, row);
            }
            taker->asked += 1;
            if (admitted < quantity) {
                tell(out, LIMITED, taker, taker->handle, order->handle, order->level, admitted);
                w->blocked[pair] = w->stamp + (admitted > 0);
            }
        }
        int32_t next = -1;
        if (admitted < quantity || admitted == order->quantity) next = following(book, other, order, limit);
        if (admitted > 0) {
            taker->remaining -= admitted;
            order->quantity -= admitted;
            w->schedule[inject] += admitted;
            w->schedule[withdraw] -= admitted;
            shift(w, rise, fall, (double)admitted);
            w->stamp += 1;
            if (taker->retrying && out->turn[taker->handle] < out->turn[order->handle])
                tell(out, TRADE, taker, order->handle, taker->handle, taker->level, admitted);
            else
                tell(out, TRADE, taker, taker->handle, order->handle, order->level, admitted);
            if (order->quantity == 0) {
                release(book, where, index);
                taker->candidate = next;
            }
        }
        if (admitted < quantity) {
            taker->skipped += 1;
            taker->candidate = next;
        }
    }
}

/* One pass over the resting bids, best first: what could not trade may do so now. */
static void retry(Book *book, int32_t *where, Wires *w, int32_t message, Output *out) {
    Taker taker = {.message = message, .side = BUY, .retrying = true, .budget = MAX_RETRIES};
    int32_t bid = book->best[BUY] < LEVELS ? book->head[BUY][book->best[BUY]] : -1;
    while (bid >= 0) {
        Order *order = &book->orders[bid];
        if (book->best[SELL] > order->level || taker.asked >= taker.budget) return;
        taker.handle = order->handle;
        taker.level = order->level;
        taker.remaining = order->quantity;
        taker.candidate = book->head[SELL][book->best[SELL]];
        taker.skipped = 0;
        match(book, where, w, &taker, out);
        order->quantity = taker.remaining;
        int32_t next = following(book, BUY, order, LEVELS - 1);
        if (order->quantity == 0) release(book, where, bid);
        bid = next;
    }
}

static void submit_gated(Book *book, int32_t *where, Wires *w, const Message *message, int32_t number, Output *out) {
    int side = message->side, other = 1 - side;
    bool takes = message->kind == TAKE;
    int32_t level = takes ? (side == BUY ? LEVELS - 1 : 0) : message->level;
    int32_t limit = side == BUY ? level : LEVELS - 1 - level, best = book->best[other];
    Taker taker = {.message = number, .handle = message->handle, .level = level, .side = side,
                   .remaining = message->quantity, .candidate = best <= limit ? book->head[other][best] : -1};
    if (book->free < 0 && !takes) {
        tell(out, BOOK_FULL, &taker, message->handle, -1, level, message->quantity);
        return;
    }
    int64_t begun = w->stamp;
    match(book, where, w, &taker, out);
    if (taker.remaining > 0 && takes) {
        tell(out, CANCELLED, &taker, message->handle, -1, level, taker.remaining);
    } else if (taker.remaining > 0) {
        int32_t index = book->free;
        Order *order = &book->orders[index];
        book->free = order->next;
        book->live += 1;
        order->quantity = taker.remaining;
        order->handle = message->handle;
        order->level = level;
        order->side = (int8_t)side;
        out->turn[message->handle] = ++out->turns;
        where[message->handle] = index;
        link_order(book, index);
    }
    if (w->stamp != begun) retry(book, where, w, number, out);
}

/* Carry out messages on wires; returns the number of trades. */
int64_t book_run_gated(Book *book, int32_t *where, const Message *messages, Wires *wires, Output *out) {
    for (int64_t number = 0; number < out->length; number++) {
        const Message *message = &messages[number];
        if (message->kind != CANCEL) {
            submit_gated(book, where, wires, message, (int32_t)number, out);
            continue;
        }
        int32_t index = where[message->handle];
        Taker nobody = {.message = (int32_t)number};
        if (index < 0) {
            tell(out, UNKNOWN, &nobody, message->handle, -1, -1, 0);
            continue;
        }
        Order *order = &book->orders[index];
        tell(out, CANCELLED, &nobody, order->handle, -1, order->level, order->quantity);
        release(book, where, index);
    }
    return out->kept;
}
