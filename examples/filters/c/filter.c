// Adds the response header `x-filter`: its value is the plugin configuration, or "c" when there is none.
//
// There is no C SDK: these are the few lines of the Proxy-Wasm ABI 0.2.1 that the filter uses. The host copies what it
// hands over into memory that it asks for with malloc.
#include <stdint.h>
#include <stdlib.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

enum { OK = 0, CONTINUE = 0, RESPONSE_HEADERS = 2, PLUGIN_CONFIGURATION = 7 };

IMPORT(proxy_add_header_map_value)
extern int32_t add_header(int32_t map, const char *key, size_t key_size, const char *value, size_t value_size);
IMPORT(proxy_get_buffer_bytes)
extern int32_t get_buffer(int32_t buffer, size_t start, size_t size, char **to, size_t *to_size);

static const char key[] = "x-filter";
static const char *value = "c";
static size_t value_size = 1;

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}

EXPORT(proxy_on_configure) int32_t on_configure(int32_t root, size_t size) {
  (void)root;
  if (size == 0) return 1;
  char *text;
  if (get_buffer(PLUGIN_CONFIGURATION, 0, size, &text, &size) != OK) return 0;
  value = text;
  value_size = size;
  return 1;
}

EXPORT(proxy_on_response_headers) int32_t on_response_headers(int32_t context, int32_t headers, int32_t end) {
  (void)context, (void)headers, (void)end;
  add_header(RESPONSE_HEADERS, key, sizeof key - 1, value, value_size);
  return CONTINUE;
}
