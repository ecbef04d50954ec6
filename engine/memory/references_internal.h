/* What a bsk_references is made of, for the references_*.c files alone. */
#ifndef BSK_MEMORY_REFERENCES_INTERNAL_H
#define BSK_MEMORY_REFERENCES_INTERNAL_H

#include "engine/memory/references.h"

enum bsk_label {
    BSK_LABEL_NONE, /* not known: C code, or it is gone */
    BSK_LABEL_ATTRIBUTE,
    BSK_LABEL_SLOT,
    BSK_LABEL_KEY,     /* text: the key's repr */
    BSK_LABEL_INDEX,   /* text: a number */
    BSK_LABEL_LOCAL,   /* text: the variable */
    BSK_LABEL_GLOBAL,  /* of a module */
    BSK_LABEL_CLOSURE, /* text: the variable */
    BSK_LABEL_CELL,    /* what a cell holds */
    BSK_LABEL_DICT,    /* an object's own dictionary */
    BSK_LABEL_ITEM,    /* of a set */
    BSK_LABEL_KEYOF,   /* it is a key itself */
    BSK_LABEL_PART,    /* text: "__mro__", what every object of that type has */
    BSK_LABEL_GAP,     /* steps[] in between are not shown */
};

struct bsk_shown {
    uint64_t id, type_id;
    uint64_t bytes, retained;
    char *type, *module, *name; /* name: of a root */
    char *path;                 /* of a frame, else NULL */
    uint32_t line;
    enum bsk_root root;
    uint32_t cycle;
    bool target, gone, merged; /* merged: drawn together with its neighbours; not shown any more */
    bool has_length;
    uint64_t length; /* entries of a container */
    uint32_t more;   /* targets on it that are not shown */
    char *repr;      /* or NULL */
    uint32_t up;     /* the shown node that it hangs on in the tree; BSK_NO_NODE: a root */
};

struct bsk_shown_edge {
    uint32_t from, to; /* in `nodes` */
    enum bsk_label label;
    char *text;      /* or NULL */
    bool identifier; /* the key is one: an attribute's name */
    bool merged;
    uint32_t steps; /* of a gap */
};

struct bsk_references {
    char *title;
    struct bsk_shown *nodes;
    uint32_t count;
    struct bsk_shown_edge *edges;
    uint32_t edge_count, edge_room;
    size_t target_count;
    uint64_t target_bytes, target_retained; /* retained: what would be freed with all of them */
    uint32_t lone_targets; /* that are held by nothing that is known (C, or garbage) */
    struct bsk_graph_facts facts;
    bool labelled;
};

/* The label as people write it: ".name", "['key']", "[3]", "local x". Returns `out`. */
const char *bsk_label_text(const struct bsk_shown_edge *edge, char *out, size_t size);
/* Draws steps together that are one to who reads it: an object's __dict__ and its keys, a closure's
 * tuple and cells. Fails with BSK_E_MEMORY. */
int bsk_references_draw_together(struct bsk_references *refs, struct bsk_error *err);

enum bsk_label bsk_references_label_of(const char *kind); /* the script's word for it */

enum { BSK_LINE_FIELDS = 8 };
struct bsk_references_lines { /* of the script's answer */
    const char *at;
    size_t left;
    char line[4096];
};
int bsk_references_lines_of(const struct bsk_value *result, struct bsk_references_lines *lines,
                            struct bsk_error *err);
/* The fields live until the next call. */
bool bsk_references_next_line(struct bsk_references_lines *lines, char *fields[],
                              size_t *out_count);

/* NULL when out of memory. */
struct bsk_shown_edge *bsk_references_add_edge(struct bsk_references *refs, uint32_t from,
                                               uint32_t to);

#endif
