/*
 * Flame graphs: boxes, each with a label and a weight, that stand on the box below them by where
 * they are drawn. Ours say what they weigh in data-w (engine/export/flamegraph.c); py-spy's, made
 * by inferno, have the samples in fg:x and fg:w.
 *
 * What a box weighs more than itself and the boxes on it is what was too narrow to be drawn: it
 * comes back as the frame "(not shown)" on it.
 */
#include "engine/import/build.h"
#include "engine/import/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 5, CLOSE = 100 }; /* of x and width in ours; a thousandth of a pixel */

struct box {
    struct bsk_span label; /* in the file, its entities not undone */
    uint64_t x, width;     /* 1e-5 pixels, or samples */
    uint64_t y;
    uint64_t total, own, on_it; /* weight: ns or samples; of the boxes on it */
    uint64_t samples, own_samples, samples_on_it;
    bool own_said, is_track; /* is_track: "process 7: app.py" and the like, or all */
    uint32_t parent, node, track;
};

struct svg {
    struct bsk_build *build;
    struct bsk_xml xml;
    struct box *boxes;
    size_t count, capacity;
    bool ours, theirs;
    bool timed;     /* weights of ours are ns, not samples */
    struct box now; /* that is being read */
    bool inside, has_rect, has_label;
    struct bsk_said said;
    struct bsk_buffer room;
};

/* "12" with no decimals, or "12.345" as 1234500 with `decimals` 5. False when it is no such number,
 * or above 10^18. */
static bool number(struct bsk_span text, unsigned decimals, uint64_t *out)
{
    uint64_t value = 0;
    bool point = false, any = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.text[i];
        if (c == '.' && !point && decimals > 0) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || value >= 100000000000000000U || (point && decimals == 0))
            return false;
        value = value * 10 + (uint64_t)(c - '0');
        decimals -= point;
        any = true;
    }
    for (; decimals > 0; decimals--) {
        if (value >= 100000000000000000U)
            return false;
        value *= 10;
    }
    *out = value;
    return any;
}

static bool attribute_number(const struct bsk_xml_token *token, const char *name, unsigned decimals,
                             uint64_t *out)
{
    struct bsk_span text;
    return bsk_xml_attribute(token, name, &text) && number(text, decimals, out);
}

/* "TOTAL SAMPLES", or "TOTAL SAMPLES OWN OWN_SAMPLES" where its own is not what is left. */
static bool take_weight(struct box *box, struct bsk_span text)
{
    uint64_t *const into[] = { &box->total, &box->samples, &box->own, &box->own_samples };
    size_t count = 0;
    for (size_t at = 0; at <= text.size; count++) {
        const char *begin = text.text + at;
        const char *blank = memchr(begin, ' ', text.size - at);
        size_t size = blank ? (size_t)(blank - begin) : text.size - at;
        if (count == 4 || !number((struct bsk_span){ begin, size }, 0, into[count]))
            return false;
        at += size + 1;
    }
    box->own_said = count == 4;
    return count == 2 || count == 4;
}

static bool fail(struct svg *svg, const char *text)
{
    return bsk_xml_fail(&svg->xml, text);
}

static void take_open(struct svg *svg, const struct bsk_xml_token *token)
{
    struct bsk_span text;
    if (bsk_pull_is(token->name, "g")) {
        svg->now = (struct box){ .parent = UINT32_MAX };
        svg->inside = !token->empty;
        svg->has_rect = svg->has_label = false;
        if (bsk_xml_attribute(token, "data-unit", &text))
            svg->timed = bsk_pull_is(text, "ns");
        if (bsk_xml_attribute(token, "data-w", &text)) {
            svg->ours = true;
            if (!take_weight(&svg->now, text))
                fail(svg, "data-w is no weight of a box");
        }
    } else if (svg->inside && bsk_pull_is(token->name, "rect")) {
        bool theirs = bsk_xml_attribute(token, "fg:w", &text);
        struct box *box = &svg->now;
        if (!theirs && box->total == 0)
            return; /* of the head */
        svg->theirs |= theirs;
        svg->has_rect =
            attribute_number(token, theirs ? "fg:x" : "x", theirs ? 0 : DIGITS, &box->x) &&
            attribute_number(token, theirs ? "fg:w" : "width", theirs ? 0 : DIGITS, &box->width) &&
            attribute_number(token, "y", DIGITS, &box->y);
        if (!svg->has_rect || box->x > 1000000000000000000 - box->width)
            fail(svg, "a box without a place");
        if (theirs)
            box->total = box->samples = box->width;
        /* r: the whole, a process, a thread; for the rest its label decides */
        box->is_track = !theirs && bsk_xml_attribute(token, "class", &text) && text.size > 0 &&
                        text.text[0] == 'r';
    }
}

static void take_box(struct svg *svg)
{
    svg->inside = false;
    if (!svg->has_rect || svg->now.total == 0)
        return;
    if (!svg->has_label) {
        fail(svg, "a box without a title");
    } else if (svg->count == BSK_IMPORT_MAX_NODES) {
        svg->xml.failed = true;
        bsk_fail(svg->build->err, BSK_E_LIMIT, NULL, "%.200s: more than %d boxes", svg->build->name,
                 BSK_IMPORT_MAX_NODES);
    } else {
        if (svg->count == svg->capacity) {
            size_t capacity = svg->capacity * 2 + 256;
            struct box *boxes = realloc(svg->boxes, capacity * sizeof(*boxes));
            if (!boxes) {
                svg->xml.failed = true;
                bsk_fail(svg->build->err, BSK_E_MEMORY, NULL, "out of memory");
                return;
            }
            svg->boxes = boxes;
            svg->capacity = capacity;
        }
        svg->boxes[svg->count++] = svg->now;
    }
}

/* What the file says of itself, as JSON. */
static void take_metadata(struct svg *svg, struct bsk_span text)
{
    const char *json = bsk_xml_text(text, &svg->room);
    struct bsk_error ignored;
    struct bsk_pull pull = bsk_build_pull(svg->build, json, svg->room.size);
    struct bsk_span key;
    pull.err = &ignored;
    bsk_pull_object(&pull);
    while (bsk_pull_key(&pull, &key)) {
        if (bsk_pull_is(key, "basilisk"))
            bsk_build_about(svg->build, &pull, &svg->said);
        else
            bsk_pull_skip(&pull);
    }
    if (pull.failed)
        fail(svg, "the metadata are broken");
}

/* Collects the boxes; sets xml.failed where it fails. */
static void collect(struct svg *svg)
{
    struct bsk_xml_token token;
    struct bsk_span *into = NULL, metadata = { 0 };
    while (bsk_xml_next(&svg->xml, &token)) {
        if (token.what == BSK_XML_TEXT) {
            if (into)
                *into = token.text;
            svg->has_label |= into == &svg->now.label;
            if (into == &metadata)
                take_metadata(svg, metadata);
            into = NULL;
        } else if (token.what == BSK_XML_OPEN) {
            into = bsk_pull_is(token.name, "title") && svg->inside ? &svg->now.label
                   : bsk_pull_is(token.name, "metadata")           ? &metadata
                                                                   : NULL;
            take_open(svg, &token);
        } else {
            into = NULL;
            if (svg->inside && bsk_pull_is(token.name, "g"))
                take_box(svg);
        }
    }
}

static int by_level_and_place(const void *left, const void *right)
{
    const struct box *a = left, *b = right;
    if (a->y != b->y)
        return a->y < b->y ? -1 : 1;
    return (a->x > b->x) - (a->x < b->x);
}

/* The box that all others stand on is the widest: the first of them, or, in a graph that grows
 * upwards, the last. */
static void put_first_level_first(struct svg *svg)
{
    size_t widest = 0;
    uint64_t most_y = 0;
    for (size_t i = 0; i < svg->count; i++) {
        const struct box *box = &svg->boxes[i], *now = &svg->boxes[widest];
        most_y = box->y > most_y ? box->y : most_y;
        if (box->width > now->width || (box->width == now->width && box->y < now->y))
            widest = i;
    }
    bool upwards = svg->boxes[widest].y == most_y && svg->count > 1;
    for (size_t i = 0; i < svg->count && upwards; i++)
        svg->boxes[i].y = most_y - svg->boxes[i].y;
    qsort(svg->boxes, svg->count, sizeof(*svg->boxes), by_level_and_place);
}

static int broken(const struct svg *svg, const char *what)
{
    return bsk_fail(svg->build->err, BSK_E_FORMAT, NULL, "%.200s: %s", svg->build->name, what);
}

/* Which box each stands on: the one below it that begins no later. */
static int find_parents(struct svg *svg)
{
    struct box *boxes = svg->boxes;
    uint64_t close = svg->ours ? CLOSE : 0;
    size_t below = 0, begin = 0; /* the row below is [below, begin) */
    for (size_t i = 1; i < svg->count; i++) {
        if (boxes[i].y != boxes[begin].y) {
            below = begin;
            begin = i;
        }
        if (begin == 0)
            return broken(svg, "several boxes lie at the bottom: no flame graph");
        while (below + 1 < begin && boxes[below + 1].x <= boxes[i].x + close)
            below++;
        struct box *parent = &boxes[below];
        if (boxes[i].x + close < parent->x ||
            boxes[i].x + boxes[i].width > parent->x + parent->width + 2 * close)
            return broken(svg, "a box stands on no other: no flame graph");
        boxes[i].parent = (uint32_t)below;
        parent->on_it += boxes[i].total;
        parent->samples_on_it += boxes[i].samples;
        if (parent->on_it > parent->total || parent->samples_on_it > parent->samples)
            return broken(svg, "boxes weigh more than the one that they stand on");
    }
    return BSK_OK;
}

/* The label: up to its first line's end, or, in inferno's, up to " (12 samples, 3.4%)". */
static char *label_of(struct svg *svg, const struct box *box)
{
    bsk_xml_text(box->label, &svg->room);
    if (svg->room.failed)
        return NULL;
    char *text = svg->room.data;
    if (svg->ours) {
        text[strcspn(text, "\n")] = '\0';
        return text;
    }
    char *suffix = NULL;
    for (char *at = text; (at = strstr(at, " (")) != NULL; at++)
        suffix = at;
    if (suffix && strstr(suffix, " samples, "))
        *suffix = '\0';
    return text;
}

/* Our tracks read "process 7: app.py", and `by_kind` are boxes of their own; the frames that py-spy
 * and `record -t` put into stacks read 'process 7:"app.py"'. False: it is no track. */
static bool name_track(struct svg *svg, const struct box *parent, char *label, bool by_kind)
{
    struct bsk_build *build = svg->build;
    struct bsk_track track = bsk_profile_track_at(build->out->profile, parent->track);
    bsk_build_begin_stack(build);
    build->pid = track.pid;
    build->tid = track.tid;
    snprintf(build->process, sizeof(build->process), "%s", track.process);
    snprintf(build->thread, sizeof(build->thread), "%s", track.thread);
    if (!by_kind) /* a thread's name may hold the ';' that parts frames: its rest is a box */
        return (svg->theirs && label[0] == ' ' && build->tid) || bsk_build_is_track(build, label);
    int id = 0, used = 0;
    if (sscanf(label, "process %9d: %n", &id, &used) == 1 && used > 0) {
        build->pid = id;
        snprintf(build->process, sizeof(build->process), "%s", label + used);
    } else if (sscanf(label, "thread %9d: %n", &id, &used) == 1 && used > 0) {
        build->tid = id;
        snprintf(build->thread, sizeof(build->thread), "%s", label + used);
    }
    return true;
}

static void add_weight(struct svg *svg, uint32_t node, uint64_t weight, uint64_t samples)
{
    uint64_t ns = svg->build->out->has_time ? weight : weight * 1000000;
    bsk_profile_add(svg->build->out->profile, node, 0, 0, ns,
                    samples < UINT32_MAX ? (uint32_t)samples : UINT32_MAX);
}

static int place_box(struct svg *svg, struct box *box, uint32_t not_shown)
{
    struct bsk_profile *profile = svg->build->out->profile;
    const struct box *parent = box->parent == UINT32_MAX ? NULL : &svg->boxes[box->parent];
    uint64_t left = box->total - box->on_it, samples_left = box->samples - box->samples_on_it;
    int rc = bsk_build_room(svg->build, 2);
    if (rc < 0)
        return rc;
    char *label = parent ? label_of(svg, box) : NULL;
    if (parent && !label)
        return bsk_fail(svg->build->err, BSK_E_MEMORY, NULL, "out of memory");
    if (!parent) { /* the whole */
        box->is_track = true;
        bsk_build_begin_stack(svg->build);
    } else if (parent->is_track) {
        box->is_track = name_track(svg, parent, label, box->is_track);
    } else {
        box->is_track = false;
    }
    if (box->is_track) {
        box->track = bsk_build_track(svg->build);
        if (box->track == UINT32_MAX)
            return bsk_fail(svg->build->err, BSK_E_MEMORY, NULL, "out of memory");
        box->node = bsk_profile_track_root(profile, box->track);
    } else {
        struct bsk_profile_frame frame;
        rc = bsk_build_label(svg->build, label, &frame);
        if (rc < 0)
            return rc;
        box->track = parent->track;
        box->node = bsk_profile_step(profile, parent->node, frame.function, frame.line);
    }
    if (!box->own_said) {
        box->own = box->is_track ? 0 : left;
        box->own_samples = box->is_track ? 0 : samples_left;
    }
    if (box->own > left || box->own_samples > samples_left)
        return broken(svg, "a box weighs less than it uses itself");
    if (box->own > 0 || box->own_samples > 0)
        add_weight(svg, box->node, box->own, box->own_samples);
    if (left > box->own || samples_left > box->own_samples)
        add_weight(svg, bsk_profile_step(profile, box->node, not_shown, 0), left - box->own,
                   samples_left - box->own_samples);
    return BSK_OK;
}

static int place_all(struct svg *svg)
{
    if (svg->count == 0 && svg->ours && !svg->theirs)
        return BSK_OK; /* an empty profile */
    if (svg->count == 0 || svg->ours == svg->theirs)
        return bsk_fail(svg->build->err, BSK_E_FORMAT, "record again, with Basilisk or py-spy",
                        "%.200s: an SVG in which no box says what it weighs: it cannot be compared",
                        svg->build->name);
    put_first_level_first(svg);
    int rc = find_parents(svg);
    if (rc < 0)
        return rc;
    if (!svg->timed && svg->boxes[0].total > 1000000000000)
        return broken(svg, "the samples add up to more than 10^12");
    uint32_t not_shown = bsk_build_function(svg->build, "(not shown)", "", 0);
    if (not_shown == UINT32_MAX)
        return bsk_fail(svg->build->err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < svg->count && rc == BSK_OK; i++)
        rc = place_box(svg, &svg->boxes[i], not_shown);
    return rc;
}

int bsk_read_svg(struct bsk_build *build, const char *bytes, size_t size)
{
    struct svg svg = { .build = build,
                       .xml = { .start = bytes,
                                .at = bytes,
                                .end = bytes + size,
                                .name = build->name,
                                .err = build->err } };
    collect(&svg);
    build->out->has_time = svg.ours && svg.timed;
    int rc = svg.xml.failed ? build->err->code : place_all(&svg);
    free(svg.boxes);
    bsk_buffer_free(&svg.room);
    return rc;
}
