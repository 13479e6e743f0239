;; Counts the primes below its first argument and writes the count and a line end to standard output.
;;
;;   icn-cli mesh submit --module primes.wasm --arg 1000000      ->  78498
;;
;; A WASI command, written by hand so that building it needs no compiler: `python examples/build.py`.
;; By trial division on purpose: its argument chooses how long it takes (20000000: some seconds). Without a number as its one
;; argument it says so on standard error and exits with 2.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: number of arguments    4: bytes of arguments    8: buffer to write, address and size    16: bytes written
  ;; 32: the usage line        160: end of the number, written backwards from there
  ;; 1024: pointers to the arguments    4096: the arguments
  (memory (export "memory") 1)
  (data (i32.const 32) "usage: primes N    counts the primes below N, at most 4000000000\n")

  (func $write (param $descriptor i32) (param $address i32) (param $size i32)
    (i32.store (i32.const 8) (local.get $address))
    (i32.store (i32.const 12) (local.get $size))
    (drop (call $fd_write (local.get $descriptor) (i32.const 8) (i32.const 1) (i32.const 16))))

  (func $usage
    (call $write (i32.const 2) (i32.const 32) (i32.const 65))
    (call $proc_exit (i32.const 2)))

  ;; The decimal number at $address, up to a zero byte. Anything else ends the program.
  (func $parse (param $address i32) (result i32)
    (local $digit i32) (local $value i64)
    (if (i32.eqz (i32.load8_u (local.get $address))) (then (call $usage)))
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $address)) (i32.const 48)))
      (if (i32.gt_u (local.get $digit) (i32.const 9)) (then (call $usage)))
      (local.set $value
        (i64.add (i64.mul (local.get $value) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
      (if (i64.gt_u (local.get $value) (i64.const 4000000000)) (then (call $usage)))
      (local.set $address (i32.add (local.get $address) (i32.const 1)))
      (br_if $next (i32.load8_u (local.get $address))))
    (i32.wrap_i64 (local.get $value)))

  ;; Whether the odd number $n > 2 has no odd divisor up to its square root.
  (func $is_prime (param $n i32) (result i32)
    (local $d i32)
    (local.set $d (i32.const 3))
    (loop $next
      (if (i64.gt_u (i64.mul (i64.extend_i32_u (local.get $d)) (i64.extend_i32_u (local.get $d)))
                    (i64.extend_i32_u (local.get $n)))
        (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $n) (local.get $d))) (then (return (i32.const 0))))
      (local.set $d (i32.add (local.get $d) (i32.const 2)))
      (br $next))
    (unreachable))

  (func $count_below (param $limit i32) (result i32)
    (local $n i32) (local $count i32)
    (if (i32.le_u (local.get $limit) (i32.const 2)) (then (return (i32.const 0))))
    (local.set $count (i32.const 1))  ;; the prime 2
    (local.set $n (i32.const 3))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $n) (local.get $limit)))
        (local.set $count (i32.add (local.get $count) (call $is_prime (local.get $n))))
        (local.set $n (i32.add (local.get $n) (i32.const 2)))
        (br $next)))
    (local.get $count))

  ;; Writes $value in decimal and a line end.
  (func $print (param $value i32)
    (local $address i32)
    (local.set $address (i32.const 160))
    (i32.store8 (local.get $address) (i32.const 10))
    (loop $next
      (local.set $address (i32.sub (local.get $address) (i32.const 1)))
      (i32.store8 (local.get $address) (i32.add (i32.rem_u (local.get $value) (i32.const 10)) (i32.const 48)))
      (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
      (br_if $next (local.get $value)))
    (call $write (i32.const 1) (local.get $address) (i32.sub (i32.const 161) (local.get $address))))

  (func (export "_start")
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 2)) (then (call $usage)))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 4096)) (then (call $usage)))
    (drop (call $args_get (i32.const 1024) (i32.const 4096)))
    (call $print (call $count_below (call $parse (i32.load (i32.const 1028)))))))
