/*
 * Walks XML text that lies in memory, tag by tag, without building anything: as much of XML as
 * flame graphs use. Entities that a document declares itself are not known, so that none can grow.
 *
 *     while (bsk_xml_next(&xml, &token))
 *         if (token.what == BSK_XML_OPEN && bsk_pull_is(token.name, "rect")) ...
 *     if (xml.failed) ...
 *
 * After the first failure every call does nothing and returns false.
 */
#ifndef BSK_IMPORT_XML_H
#define BSK_IMPORT_XML_H

#include "engine/import/pull.h"

struct bsk_xml {
    const char *start, *at, *end;
    const char *name;      /* of the file, for messages */
    struct bsk_error *err; /* filled in at the first failure */
    bool failed;
    size_t depth; /* state: elements that are open */
    bool rooted;  /* state: an element was there */
};

struct bsk_xml_token {
    enum bsk_xml_what {
        BSK_XML_OPEN, /* <name attributes> */
        BSK_XML_CLOSE,
        BSK_XML_TEXT, /* what stands between tags, its entities not undone; never CDATA */
    } what;
    struct bsk_span name; /* of OPEN and CLOSE */
    struct bsk_span text; /* the attributes of OPEN, or the text */
    bool empty;           /* <name/>: no CLOSE follows */
};

/* False at the end of the document, or when it is broken: BSK_E_FORMAT, with the line. */
bool bsk_xml_next(struct bsk_xml *xml, struct bsk_xml_token *out_token);

/* An attribute of an OPEN as it is written, or false. */
bool bsk_xml_attribute(const struct bsk_xml_token *token, const char *name,
                       struct bsk_span *out_value);

/* `text` with its entities undone, terminated; what stands for no character, or for NUL, becomes
 * U+FFFD. What is longer than 64 KiB is cut. */
const char *bsk_xml_text(struct bsk_span text, struct bsk_buffer *room);

/* Fails at the place reached: "NAME: line 3: TEXT". Returns false. */
bool bsk_xml_fail(struct bsk_xml *xml, const char *text);

#endif
