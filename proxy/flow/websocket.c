/*
 * Key and accept: 16 random bytes of the client in base64, and the SHA-1 of that text and a
 * fixed GUID.
 */
#include "flow/websocket.h"

#include <string.h>

#include <openssl/evp.h>

#define KEY_LENGTH 24 /* 16 bytes in base64, padded */

static bool is_key(struct str s)
{
    if (s.n != KEY_LENGTH || s.p[KEY_LENGTH - 1] != '=' || s.p[KEY_LENGTH - 2] != '=') {
        return false;
    }
    for (size_t i = 0; i < KEY_LENGTH - 2; i++) {
        char c = ascii_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/')) {
            return false;
        }
    }
    return true;
}

bool websocket_asked(const struct msg *request)
{
    return request->upgrade && request->method == METHOD_GET && request->minor == 1 &&
           request->framing == FRAMING_NONE &&
           msg_has_token(request, FIELD_UPGRADE, STR("websocket")) &&
           is_key(msg_get(request, FIELD_SEC_WEBSOCKET_KEY)) &&
           str_eq(msg_get(request, FIELD_SEC_WEBSOCKET_VERSION), STR("13"));
}

bool websocket_agreed(const struct msg *request, const struct msg *answer)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct str key = msg_get(request, FIELD_SEC_WEBSOCKET_KEY);
    unsigned char input[KEY_LENGTH + sizeof(guid) - 1], digest[EVP_MAX_MD_SIZE], text[64];
    unsigned int n = 0;
    if (!answer->upgrade || key.n != KEY_LENGTH ||
        !str_ieq(msg_get(answer, FIELD_UPGRADE), STR("websocket")) ||
        msg_count(answer, FIELD_UPGRADE) != 1 ||
        msg_count(answer, FIELD_SEC_WEBSOCKET_ACCEPT) != 1) {
        return false;
    }
    memcpy(input, key.p, key.n);
    memcpy(input + key.n, guid, sizeof(guid) - 1);
    if (EVP_Digest(input, sizeof(input), digest, &n, EVP_sha1(), NULL) != 1) {
        return false;
    }
    int len = EVP_EncodeBlock(text, digest, (int)n);
    return str_eq(msg_get(answer, FIELD_SEC_WEBSOCKET_ACCEPT),
                  str_make((const char *)text, (size_t)len));
}
