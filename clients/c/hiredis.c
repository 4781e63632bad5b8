// Counts with hiredis as a test tells it; see program_test.go.
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *host;
static int port;
static redisContext *context; // NULL where the last one has failed

// failed says what went wrong. A context that has failed is of no more use.
static int failed(const redisReply *reply) {
    if (reply != NULL)
        printf("! %s\n", reply->str);
    else
        printf("! %s\n", context == NULL ? "out of memory" : context->errstr);
    if (reply == NULL) {
        redisFree(context);
        context = NULL;
    }
    return 0;
}

static int say(const redisReply *reply) {
    if (reply->type == REDIS_REPLY_INTEGER)
        printf("%lld\n", reply->integer);
    else if (reply->type == REDIS_REPLY_NIL)
        printf("0\n");
    else if (reply->type == REDIS_REPLY_STRING)
        printf("%s\n", reply->str);
    else if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements; i++)
            say(reply->element[i]);
    fflush(stdout);
    return reply->type != REDIS_REPLY_ERROR;
}

// receive takes so many answers and says the numbers in them: all, or those of the last answer alone.
static int receive(int answers, int last) {
    for (int i = 1; i <= answers; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(context, (void **)&reply) != REDIS_OK)
            return failed(NULL);
        if (reply->type == REDIS_REPLY_ERROR) {
            failed(reply);
            freeReplyObject(reply);
            for (; i < answers; i++) // what comes after it is answered, too
                if (redisGetReply(context, (void **)&reply) == REDIS_OK)
                    freeReplyObject(reply);
            return 0;
        }
        if (!last || i == answers)
            say(reply);
        freeReplyObject(reply);
    }
    return 1;
}

static int run(const char *verb, const char *topic, const char *other, int n) {
    if (context == NULL)
        context = redisConnect(host, port);
    if (context == NULL || context->err)
        return failed(NULL);
    if (strcmp(verb, "incr") == 0) {
        for (int i = 0; i < n; i++) {
            redisAppendCommand(context, "INCR %s", topic);
            if (!receive(1, 0))
                return 0;
        }
        return 1;
    }
    if (strcmp(verb, "pipeline") == 0) {
        for (int i = 0; i < n; i++)
            redisAppendCommand(context, "INCR %s", topic);
        return receive(n, 0);
    }
    if (strcmp(verb, "transaction") == 0) {
        redisAppendCommand(context, "MULTI");
        for (int i = 0; i < n; i++) {
            redisAppendCommand(context, "INCR %s", topic);
            redisAppendCommand(context, "INCR %s", other);
        }
        redisAppendCommand(context, "EXEC");
        return receive(2 * n + 2, 1);
    }
    redisAppendCommand(context, "GET %s", topic);
    return receive(1, 0);
}

int main(int argc, char **argv) {
    char line[256];
    if (argc < 3)
        return 1;
    host = argv[1];
    port = atoi(argv[2]);
    printf("%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char verb[64], words[3][64] = {"", "", ""};
        if (sscanf(line, "%63s %63s %63s %63s", verb, words[0], words[1], words[2]) < 2)
            return 1;
        int transaction = strcmp(verb, "transaction") == 0;
        if (run(verb, words[0], words[1], atoi(words[transaction ? 2 : 1])))
            printf(".\n");
        fflush(stdout);
    }
    redisFree(context);
    return 0;
}
