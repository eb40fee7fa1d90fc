/*
 * The Lua scripts of leases. Each runs atomically in Redis, on keys of one slot. Private to
 * cache/lease*.c.
 */
#ifndef CACHE_LEASE_SCRIPTS_H
#define CACHE_LEASE_SCRIPTS_H

/*
 * KEYS lease entry · ARGV value life-ms seen displaced
 *   -> {'got', fence} | {'held', value, ms} | {'look'}
 *
 * Takes the lease, unless the entry is not the one seen (the last bytes of its value) or
 * somebody else has it; `displaced` is the head of a value that is to be replaced. Who waits
 * for a lease that is taken over goes on waiting for the new one.
 */
#define LEASE_TAKE                                                                     \
    "if redis.call('GETRANGE', KEYS[2], -8, -1) ~= ARGV[3] then return {'look'} end\n" \
    "local held = redis.call('GET', KEYS[1])\n"                                        \
    "local value = ARGV[1]\n"                                                          \
    "if held then\n"                                                                   \
    "  local waited = string.sub(held, -1) == 'w'\n"                                   \
    "  if ARGV[4] == '' or string.sub(held, 1, #ARGV[4]) ~= ARGV[4] then\n"            \
    "    if not waited then redis.call('APPEND', KEYS[1], 'w') end\n"                  \
    "    return {'held', held, redis.call('PTTL', KEYS[1])}\n"                         \
    "  end\n"                                                                          \
    "  if waited then value = value .. 'w' end\n"                                      \
    "  redis.call('UNLINK', KEYS[1])\n"                                                \
    "end\n"                                                                            \
    "redis.call('SET', KEYS[1], value, 'NX', 'PX', ARGV[2])\n"                         \
    "local t = redis.call('TIME')\n"                                                   \
    "return {'got', string.format('%.0f', t[1] * 1000000 + t[2])}\n"

/* KEYS lease · ARGV head life-ms -> 1, or 0 when it is not the caller's any more. */
#define LEASE_RENEW                                            \
    "local held = redis.call('GET', KEYS[1])\n"                \
    "if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] " \
    "then return 0 end\n"                                      \
    "return redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"

/* KEYS lease · ARGV head -> 2 when somebody waits, 1, or 0 when it is not the caller's. */
#define LEASE_GIVE_BACK                                        \
    "local held = redis.call('GET', KEYS[1])\n"                \
    "if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] " \
    "then return 0 end\n"                                      \
    "redis.call('UNLINK', KEYS[1])\n"                          \
    "return string.sub(held, -1) == 'w' and 2 or 1\n"

/* KEYS wake · ARGV key-hash end most life-ms */
#define LEASE_WAKE                                                             \
    "redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'k', ARGV[1],\n" \
    "           'r', ARGV[2])\n"                                               \
    "return redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"

#endif
