/*
 * Two nodes on a Redis of their own, for the tests of the journal's link: set up and torn down
 * for each test. Included once by a test program.
 */
#ifndef JOURNAL_PAIR_H
#define JOURNAL_PAIR_H

#include <stdio.h>

#include "real_redis.h"

#include "journal_case.h"

static struct real_redis server;
static struct journal_case k;
static struct node a, b;

static int setup(void **state)
{
    (void)state;
    char url[128];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    real_start(&server, NULL, "PONG");
    snprintf(url, sizeof(url), "unix:%s", server.sock);
    case_init(&k, url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct node *nodes[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        if (nodes[i]->l != NULL) {
            node_end(nodes[i]);
        }
    }
    case_fini(&k);
    real_end(&server);
    return 0;
}

#endif
