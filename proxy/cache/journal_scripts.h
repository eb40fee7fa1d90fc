/*
 * The Lua scripts of the journal. Each runs atomically in Redis; all keys are in one slot.
 * Private to cache/journal_link and its parts.
 *
 * The hash `epoch`: id (16 hex digits, random), replid (of the master it began on), seq (of the
 * last record), from (stream id behind which its records begin), replicas (most that this
 * master has had in this epoch; Sentinel only).
 */
#ifndef CACHE_JOURNAL_SCRIPTS_H
#define CACHE_JOURNAL_SCRIPTS_H

/*
 * KEYS epoch journal · ARGV new-id known-id known-seq gap -> {id, seq, from, first}
 *
 * Compares what this node knows with what is there, and moves the epoch when nobody can vouch
 * for the records: another master, a lost or damaged stream or hash, records missing at the
 * end, or a hole that the node has seen (gap). A move happens once however many nodes ask: the
 * second one finds an id that is not the one it knew. `first` is the oldest record of the epoch
 * that is still there; records in front of it that were trimmed are no hole.
 */
#define JOURNAL_SYNC                                                                   \
    "local info = redis.call('INFO', 'replication')\n"                                 \
    "if string.match(info, 'role:(%a+)') ~= 'master' then\n"                           \
    "  return redis.error_reply('READONLY this is not a master')\n"                    \
    "end\n"                                                                            \
    "local replid = string.match(info, 'master_replid:(%x+)')\n"                       \
    "local function seq_of(list)\n"                                                    \
    "  local fields = list and not list.err and list[1] and list[1][2] or {}\n"        \
    "  for i = 1, #fields, 2 do\n"                                                     \
    "    if fields[i] == 's' then return tonumber(fields[i + 1]) end\n"                \
    "  end\n"                                                                          \
    "end\n"                                                                            \
    "local e = redis.call('HMGET', KEYS[1], 'id', 'replid', 'seq', 'from')\n"          \
    "local id, seq, from = e[1], tonumber(e[3] or ''), e[4]\n"                         \
    "local known = tonumber(ARGV[3])\n"                                                \
    "local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)\n"            \
    "local first = from and seq_of(redis.pcall('XRANGE', KEYS[2], '(' .. from, '+', "  \
    "'COUNT', 1))\n"                                                                   \
    "local good = id and string.match(id, '^%x+$') and #id == 16 and e[2] == replid\n" \
    "    and seq and first and seq < 2^43 and seq_of(last) == seq\n"                   \
    "if good and id == ARGV[2] then\n"                                                 \
    "  good = known <= seq and not (ARGV[4] == '1' and first <= known + 1)\n"          \
    "end\n"                                                                            \
    "if not good then\n"                                                               \
    "  seq = math.max(seq or 0, known) + 1\n"                                          \
    "  if seq >= 2^43 then seq = 1 end\n"                                              \
    "  id, from, first = ARGV[1], last[1] and last[1][1] or '0-0', seq\n"              \
    "  redis.call('HSET', KEYS[1], 'id', id, 'replid', replid, 'seq', seq,\n"          \
    "             'from', from, 'replicas', 0)\n"                                      \
    "  redis.call('XADD', KEYS[2], '*', 's', seq, 'r', '', 'm', '')\n"                 \
    "end\n"                                                                            \
    "return {id, seq, from, first}\n"

/*
 * KEYS epoch journal · ARGV id records mark horizon-ms max-records [field value] -> seq
 *
 * Appends one entry, with a further field if there is one, and trims. An epoch or stream that
 * is not the one this node follows is an error, so that no record is acknowledged where nobody
 * reads it.
 */
#define JOURNAL_APPEND                                                           \
    "if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1]\n"                          \
    "    or redis.call('EXISTS', KEYS[2]) == 0 then\n"                           \
    "  return redis.error_reply('EPOCHMOVED another epoch')\n"                   \
    "end\n"                                                                      \
    "local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)\n"                     \
    "redis.call('XADD', KEYS[2], '*', 's', seq, 'r', ARGV[2], 'm', ARGV[3],\n"   \
    "           unpack(ARGV, 6))\n"                                              \
    "local min = redis.call('TIME')[1] * 1000 - tonumber(ARGV[4])\n"             \
    "if min > 0 then\n"                                                          \
    "  redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', min))\n" \
    "end\n"                                                                      \
    "redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[5])\n"                     \
    "return seq\n"

/*
 * KEYS nodes epoch journal applied · ARGV node-id life-ms watch-replicas epoch-id seq ->
 * {nodes, replicas, now}
 *
 * Registers this node, with how far it has applied the epoch's stream, and counts those alive.
 * One that was not registered says hello in the stream, with no records: every node that
 * follows knows at once that it is not alone. With watch-replicas, also notes how many replicas
 * this master has had in this epoch.
 */
#define JOURNAL_REGISTER                                                                      \
    "local t = redis.call('TIME')\n"                                                          \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"                                     \
    "local life = tonumber(ARGV[2])\n"                                                        \
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - life))\n"    \
    "local new = redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])\n"          \
    "redis.call('PEXPIRE', KEYS[1], life * 2)\n"                                              \
    "redis.call('HSET', KEYS[4], ARGV[1], ARGV[4] .. ':' .. ARGV[5])\n"                       \
    "redis.call('PEXPIRE', KEYS[4], life * 2)\n"                                              \
    "if redis.call('HLEN', KEYS[4]) > redis.call('ZCARD', KEYS[1]) then\n"                    \
    "  for _, id in ipairs(redis.call('HKEYS', KEYS[4])) do\n"                                \
    "    if not redis.call('ZSCORE', KEYS[1], id) then redis.call('HDEL', KEYS[4], id) end\n" \
    "  end\n"                                                                                 \
    "end\n"                                                                                   \
    "if new == 1 and redis.call('HGET', KEYS[2], 'id') == ARGV[4]\n"                          \
    "    and redis.call('EXISTS', KEYS[3]) == 1 then\n"                                       \
    "  local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)\n"                                \
    "  redis.call('XADD', KEYS[3], '*', 's', seq, 'r', '', 'm', ARGV[1] .. ':0')\n"           \
    "end\n"                                                                                   \
    "local replicas = 0\n"                                                                    \
    "if ARGV[3] == '1' then\n"                                                                \
    "  local info = redis.call('INFO', 'replication')\n"                                      \
    "  for _ in string.gmatch(info, 'state=online') do replicas = replicas + 1 end\n"         \
    "  local most = tonumber(redis.call('HGET', KEYS[2], 'replicas') or '0') or 0\n"          \
    "  if replicas > most then\n"                                                             \
    "    redis.call('HSET', KEYS[2], 'replicas', replicas)\n"                                 \
    "  else\n"                                                                                \
    "    replicas = most\n"                                                                   \
    "  end\n"                                                                                 \
    "end\n"                                                                                   \
    "return {redis.call('ZCARD', KEYS[1]), replicas, now}\n"

/*
 * KEYS nodes applied · ARGV epoch-id seq life-ms -> {nodes, waiting}
 *
 * How many nodes are alive, and how many of them have not said that they have applied the
 * stream up to seq.
 */
#define JOURNAL_APPLIED                                                                  \
    "local t = redis.call('TIME')\n"                                                     \
    "local since = t[1] * 1000 + math.floor(t[2] / 1000) - tonumber(ARGV[3])\n"          \
    "local alive = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', since),\n" \
    "                         '+inf')\n"                                                 \
    "local waiting = 0\n"                                                                \
    "for _, id in ipairs(alive) do\n"                                                    \
    "  local at = redis.call('HGET', KEYS[2], id) or ''\n"                               \
    "  local epoch, seq = string.match(at, '^(%x+):(%d+)$')\n"                           \
    "  if epoch ~= ARGV[1] or tonumber(seq) < tonumber(ARGV[2]) then\n"                  \
    "    waiting = waiting + 1\n"                                                        \
    "  end\n"                                                                            \
    "end\n"                                                                              \
    "return {#alive, waiting}\n"

#endif
