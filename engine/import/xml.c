#include "engine/import/xml.h"

#include "engine/base/strings.h"

#include <string.h>

enum { TEXT_MAX_BYTES = 64 << 10, ENTITY_MAX_BYTES = 10, MAX_NESTING = 512 };

bool bsk_xml_fail(struct bsk_xml *xml, const char *text)
{
    size_t line = 1;
    if (xml->failed)
        return false;
    xml->failed = true;
    for (const char *nl = xml->start;
         (nl = memchr(nl, '\n', (size_t)(xml->at - nl))) != NULL && nl < xml->at; nl++)
        line++;
    bsk_fail(xml->err, BSK_E_FORMAT, NULL, "%.200s: line %zu: %s", xml->name, line, text);
    return false;
}

static bool is_cut(struct bsk_xml *xml)
{
    xml->at = xml->end;
    return bsk_xml_fail(xml, "the SVG is cut: the file ends here");
}

static bool begins(const struct bsk_xml *xml, const char *with)
{
    size_t size = strlen(with);
    return (size_t)(xml->end - xml->at) >= size && memcmp(xml->at, with, size) == 0;
}

/* Goes on behind the next `closing`. */
static bool pass(struct bsk_xml *xml, const char *closing)
{
    size_t size = strlen(closing);
    const char *found = memmem(xml->at, (size_t)(xml->end - xml->at), closing, size);
    if (!found)
        return is_cut(xml);
    xml->at = found + size;
    return true;
}

/* The '>' that ends the tag at `at`: not one inside quotes. */
static const char *end_of_tag(const struct bsk_xml *xml)
{
    char quote = '\0';
    for (const char *c = xml->at; c < xml->end; c++) {
        if (quote) {
            quote = *c == quote ? '\0' : quote;
        } else if (*c == '"' || *c == '\'') {
            quote = *c;
        } else if (*c == '>') {
            return c;
        } else if (*c == '<' && c > xml->at) {
            return NULL;
        }
    }
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool take_tag(struct bsk_xml *xml, struct bsk_xml_token *out)
{
    const char *end = end_of_tag(xml);
    if (!end)
        return memchr(xml->at, '>', (size_t)(xml->end - xml->at))
                   ? bsk_xml_fail(xml, "a tag that does not end")
                   : is_cut(xml);
    const char *begin = xml->at + 1, *name_end;
    bool close = begin < end && *begin == '/';
    begin += close;
    for (name_end = begin; name_end < end && !is_blank(*name_end) && *name_end != '/';)
        name_end++;
    if (name_end == begin)
        return bsk_xml_fail(xml, "a tag without a name");
    *out = (struct bsk_xml_token){ .what = close ? BSK_XML_CLOSE : BSK_XML_OPEN,
                                   .name = { begin, (size_t)(name_end - begin) },
                                   .text = { name_end, (size_t)(end - name_end) },
                                   .empty = !close && end[-1] == '/' };
    if (close && xml->depth == 0)
        return bsk_xml_fail(xml, "an end of something that did not begin");
    if (!close && xml->depth == 0 && xml->rooted)
        return bsk_xml_fail(xml, "more than one document");
    if (close)
        xml->depth--;
    else if (!out->empty && ++xml->depth > MAX_NESTING)
        return bsk_xml_fail(xml, "nested too deeply");
    xml->rooted = true;
    xml->at = end + 1;
    return true;
}

bool bsk_xml_next(struct bsk_xml *xml, struct bsk_xml_token *out_token)
{
    while (!xml->failed && xml->at < xml->end) {
        if (*xml->at != '<') {
            const char *stop = memchr(xml->at, '<', (size_t)(xml->end - xml->at));
            stop = stop ? stop : xml->end;
            *out_token = (struct bsk_xml_token){ .what = BSK_XML_TEXT,
                                                 .text = { xml->at, (size_t)(stop - xml->at) } };
            xml->at = stop;
            return true;
        }
        if (begins(xml, "<!--"))
            pass(xml, "-->");
        else if (begins(xml, "<![CDATA["))
            pass(xml, "]]>");
        else if (begins(xml, "<?"))
            pass(xml, "?>");
        else if (begins(xml, "<!"))
            pass(xml, ">"); /* one that declares entities fails where the first '<' follows '>' */
        else
            return take_tag(xml, out_token);
    }
    if (!xml->failed && (xml->depth > 0 || !xml->rooted))
        is_cut(xml);
    return false;
}

bool bsk_xml_attribute(const struct bsk_xml_token *token, const char *name,
                       struct bsk_span *out_value)
{
    const char *at = token->text.text, *end = at + token->text.size;
    size_t size = strlen(name);
    while (at < end) {
        while (at < end && (is_blank(*at) || *at == '/'))
            at++;
        const char *begin = at;
        while (at < end && !is_blank(*at) && *at != '=')
            at++;
        const char *name_end = at;
        while (at < end && *at != '"' && *at != '\'')
            at++;
        const char *value = at + 1;
        const char *stop =
            at < end && value < end ? memchr(value, *at, (size_t)(end - value)) : NULL;
        if (!stop)
            return false;
        if ((size_t)(name_end - begin) == size && memcmp(begin, name, size) == 0) {
            *out_value = (struct bsk_span){ value, (size_t)(stop - value) };
            return true;
        }
        at = stop + 1;
    }
    return false;
}

static size_t utf8(uint32_t point, char out[4])
{
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        point = 0xfffd;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00U >> size & 0xf0U) | point);
    return size;
}

/* The character that "&...;" stands for; *out_size is 0 where it is none that we know. */
static uint32_t entity(const char *text, size_t size, size_t *out_size)
{
    static const struct {
        const char *name;
        char is;
    } known[] = {
        { "&lt;", '<' }, { "&gt;", '>' }, { "&amp;", '&' }, { "&quot;", '"' }, { "&apos;", '\'' }
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        *out_size = strlen(known[i].name);
        if (size >= *out_size && memcmp(text, known[i].name, *out_size) == 0)
            return (unsigned char)known[i].is;
    }
    *out_size = 0;
    if (size < 4 || text[1] != '#')
        return 0;
    bool hex = text[2] == 'x';
    uint32_t point = 0;
    for (size_t i = hex ? 3 : 2; i < size && i < ENTITY_MAX_BYTES; i++) {
        char c = text[i];
        uint32_t digit = c >= '0' && c <= '9'          ? (uint32_t)(c - '0')
                         : hex && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : hex && c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                       : 99;
        if (c == ';' && i > (hex ? 3U : 2U)) {
            *out_size = i + 1;
            return point;
        }
        if (digit == 99)
            return 0;
        point = point > 0x10ffff ? point : point * (hex ? 16 : 10) + digit;
    }
    return 0;
}

const char *bsk_xml_text(struct bsk_span text, struct bsk_buffer *room)
{
    const char *at = text.text, *end = at + text.size;
    bsk_buffer_clear(room);
    while (at < end && room->size < TEXT_MAX_BYTES) {
        size_t taken = 0;
        char bytes[4];
        uint32_t point = *at == '&' ? entity(at, (size_t)(end - at), &taken) : 0;
        if (taken > 0) {
            bsk_buffer_append(room, bytes, utf8(point, bytes));
        } else if (*at == '\0') {
            bsk_buffer_append(room, bytes, utf8(0, bytes));
            taken = 1;
        } else {
            for (taken = 1; at + taken < end && at[taken] != '&' && at[taken] != '\0' &&
                            room->size + taken < TEXT_MAX_BYTES;)
                taken++;
            bsk_buffer_append(room, at, taken);
        }
        at += taken;
    }
    return bsk_buffer_text(room);
}
