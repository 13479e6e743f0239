;; The smallest kind of job: no imports, one exported function `run() -> i64`.
;;
;; Adds the squares of 1 to 1,000,000. The job's output is the result, 333333833333500000, as 8 little-endian bytes.
(module
  (func (export "run") (result i64)
    (local $n i64) (local $sum i64)
    (loop $next
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (local.set $sum (i64.add (local.get $sum) (i64.mul (local.get $n) (local.get $n))))
      (br_if $next (i64.lt_u (local.get $n) (i64.const 1000000))))
    (local.get $sum)))
