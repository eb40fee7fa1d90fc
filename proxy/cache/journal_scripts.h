/*
 * The Lua scripts of the journal. Each runs atomically in Redis; all keys are in one slot.
 * Private to cache/journal_*.
 */
#ifndef CACHE_JOURNAL_SCRIPTS_H
#define CACHE_JOURNAL_SCRIPTS_H

/*
 * KEYS epoch journal · ARGV new-id known-id known-seq force.
 * Compares what this node knows with what is there, and moves the epoch when nobody can vouch
 * for the records in between: another master, a lost stream or epoch, records missing at the
 * end, or a gap that the node has seen (force). A move happens once however many nodes ask: the
 * second one finds an id that is not the one it knew. -> {id, seq, last stream id}
 */
#define JOURNAL_SYNC                                                          \
    "local info = redis.call('INFO', 'replication')\n"                        \
    "if string.match(info, 'role:(%a+)') ~= 'master' then\n"                  \
    "  return redis.error_reply('READONLY this is not a master')\n"           \
    "end\n"                                                                   \
    "local replid = string.match(info, 'master_replid:(%x+)')\n"              \
    "local e = redis.call('HMGET', KEYS[1], 'id', 'replid', 'seq')\n"         \
    "local id, seq, known = e[1], tonumber(e[3] or '0'), tonumber(ARGV[3])\n" \
    "local there = redis.call('EXISTS', KEYS[2]) == 1\n"                      \
    "local same = id and id == ARGV[2]\n"                                     \
    "if not id or e[2] ~= replid or not there or (same and known > seq)\n"    \
    "    or (same and ARGV[4] == '1') then\n"                                 \
    "  if known > seq then seq = known end\n"                                 \
    "  seq = seq + 1\n"                                                       \
    "  id = ARGV[1]\n"                                                        \
    "  redis.call('HSET', KEYS[1], 'id', id, 'replid', replid, 'seq', seq)\n" \
    "  redis.call('XADD', KEYS[2], '*', 's', seq, 'r', '', 'm', '')\n"        \
    "end\n"                                                                   \
    "local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)\n"   \
    "return {id, seq, last[1] and last[1][1] or '0-0'}\n"

/*
 * KEYS epoch journal · ARGV id records mark horizon-ms max-records.
 * Appends one entry and trims. An epoch or stream that is not the one this node follows is an
 * error, so that no record is acknowledged where nobody reads it. -> seq
 */
#define JOURNAL_APPEND                                                           \
    "if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1]\n"                          \
    "    or redis.call('EXISTS', KEYS[2]) == 0 then\n"                           \
    "  return redis.error_reply('EPOCHMOVED')\n"                                 \
    "end\n"                                                                      \
    "local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)\n"                     \
    "redis.call('XADD', KEYS[2], '*', 's', seq, 'r', ARGV[2], 'm', ARGV[3])\n"   \
    "local min = redis.call('TIME')[1] * 1000 - tonumber(ARGV[4])\n"             \
    "if min > 0 then\n"                                                          \
    "  redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', min))\n" \
    "end\n"                                                                      \
    "redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[5])\n"                     \
    "return seq\n"

/* KEYS nodes · ARGV node-id life-ms. Registers this node and counts those alive. -> nodes */
#define JOURNAL_REGISTER                                                                   \
    "local t = redis.call('TIME')\n"                                                       \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"                                  \
    "local life = tonumber(ARGV[2])\n"                                                     \
    "redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])\n"                   \
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - life))\n" \
    "redis.call('PEXPIRE', KEYS[1], life * 2)\n"                                           \
    "return redis.call('ZCARD', KEYS[1])\n"

#endif
