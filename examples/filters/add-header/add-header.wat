;; Adds the response header `x-filter`: its value is the plugin configuration, or "wat" when there is none.
;;
;; Proxy-Wasm ABI 0.2.1, with nothing but what this one filter needs. Memory: constants in the first 64 bytes, then what
;; the host hands over. The value lives in globals, so one VM serves one configuration: give each its own vm_id.
(module
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param $map i32) (param $key i32) (param $key_size i32) (param $value i32) (param $value_size i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param $buffer i32) (param $start i32) (param $size i32) (param $to i32) (param $to_size i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-filter")
  (data (i32.const 16) "\03wat") ;; one byte of length, then the text
  (global $value (mut i32) (i32.const 17))
  (global $value_size (mut i32) (i32.const 0))
  (global $free (mut i32) (i32.const 64))

  (func (export "proxy_abi_version_0_2_1"))

  ;; The host asks for room here before it copies something in. Nothing is ever given back: it asks once a configuration.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))

  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
    (if (i32.eqz (local.get $size))
      (then
        (global.set $value_size (i32.load8_u (i32.const 16)))
        (return (i32.const 1))))
    ;; Buffer 7 is the plugin configuration; its address and size are written at 32 and 36.
    (if (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 32) (i32.const 36))
      (then (return (i32.const 0))))
    (global.set $value (i32.load (i32.const 32)))
    (global.set $value_size (i32.load (i32.const 36)))
    (i32.const 1))

  ;; Map 2 is the response headers; answering 0 lets the response go on.
  (func (export "proxy_on_response_headers") (param $context i32) (param $headers i32) (param $end i32) (result i32)
    (drop (call $add_header (i32.const 2) (i32.const 0) (i32.const 8) (global.get $value) (global.get $value_size)))
    (i32.const 0)))
