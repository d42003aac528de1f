/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A bank on SQLite: each transaction moves money between two accounts and writes a line in the ledger;
 * every tenth is rolled back. What the database must hold in the end follows from the numbers of the
 * transactions alone: xtask/src/target_test/sqlite.rs computes it again for the host's own sqlite3.
 *
 * Nothing but main() and connect() knows that this is not Unix. Services that die are not seen here.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "kintsugi/files.h"
#include "kintsugi/pd.h"
#include "kintsugi/time.h"
#include "sqlite3.h"

#define DATABASE "/bank.db"
#define ACCOUNTS 16
#define OPENING 100000
#define PAYLOAD_MAX 1600
/* app_demo reads the whole disk first, and is right to complain of a file that vanishes; then it makes this. */
#define OTHER_IS_READY "/kintsugi-out"
/* When system.xml has no region app_sqlite_settings with another number. */
#define TRANSACTIONS_DEFAULT 100

static sqlite3 *bank;

/* A fault-injection campaign counts in this page (words: pds/app_demo/src/board.rs); else it is not there. */
static volatile uint64_t *score;
enum { SCORE_OPERATIONS = 1, SCORE_ERRORS = 2, SCORE_WRONG = 3, SCORE_ROUNDS = 5, SCORE_LIVES = 13 };
/* In a campaign: transactions between two checks of everything, and until there is a new bank. */
#define CAMPAIGN_STRETCH 50
#define CAMPAIGN_TRANSACTIONS 1000
#define CAMPAIGN_PAUSE_US 5000

static void say(const char *format, ...) {
    va_list values;
    char *line;

    va_start(values, format);
    line = sqlite3_vmprintf(format, values);
    va_end(values);
    kintsugi_log(line ? line : "no memory for a line");
    sqlite3_free(line);
}

/* Twice: a console that dies in a line sends one of its characters twice. */
_Noreturn static void end(const char *result) {
    say("KINTSUGI|%s", result);
    say("KINTSUGI|%s", result);
    for (;;)
        kintsugi_wait((unsigned)kintsugi_channel("fs"));
}

/* In a campaign the next life of this PD begins with a new bank. */
_Noreturn static void fail(int line, const char *what, int score_word) {
    say("line %d: %s: %s, errno %d", line, what, bank ? sqlite3_errmsg(bank) : "", errno);
    if (score) {
        score[score_word]++;
        __builtin_trap();
    }
    end("FAIL app_sqlite");
}

#define MUST_BE(condition, score_word)                                                                       \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail(__LINE__, #condition, score_word);                                                          \
    } while (0)
/* Nothing may fail, and what was written must be there. */
#define MUST(condition) MUST_BE(condition, SCORE_ERRORS)
#define HOLDS(condition) MUST_BE(condition, SCORE_WRONG)
#define SQL(text) MUST(sqlite3_exec(bank, text, 0, 0, 0) == SQLITE_OK)

/* What transaction `number` does. */
static int is_rolled_back(int number) { return number % 10 == 0; }
static int from_account(int number) { return number * 7 % ACCOUNTS; }
static int to_account(int number) { return (number * 7 + 1 + number % 5) % ACCOUNTS; }
static int amount(int number) { return 1 + number * 31 % 97; }
static int payload_length(int number) { return 40 + number * 37 % (PAYLOAD_MAX - 40); }

static const char *payload(int number) {
    static char bytes[PAYLOAD_MAX];
    int length = payload_length(number), place;

    for (place = 0; place < length; place++)
        bytes[place] = (char)('a' + (number * 31 + place * 7 + place / 26) % 26);
    return bytes;
}

static sqlite3_stmt *prepare(const char *text) {
    sqlite3_stmt *statement;
    MUST(sqlite3_prepare_v2(bank, text, -1, &statement, 0) == SQLITE_OK);
    return statement;
}

/* Runs a statement that returns no rows. */
static void run(sqlite3_stmt *statement) {
    MUST(sqlite3_step(statement) == SQLITE_DONE);
    MUST(sqlite3_reset(statement) == SQLITE_OK);
}

static int64_t number_of(const char *query) {
    sqlite3_stmt *statement = prepare(query);
    int64_t number;

    MUST(sqlite3_step(statement) == SQLITE_ROW);
    number = sqlite3_column_int64(statement, 0);
    MUST(sqlite3_step(statement) == SQLITE_DONE && sqlite3_finalize(statement) == SQLITE_OK);
    return number;
}

static void open_bank(void) {
    MUST(sqlite3_open(DATABASE, &bank) == SQLITE_OK);
    SQL("PRAGMA synchronous=FULL");
}

static void set_up(void) {
    int account;

    MUST(unlink(DATABASE) == 0 || errno == ENOENT);
    MUST(unlink(DATABASE "-journal") == 0 || errno == ENOENT);
    open_bank();
    SQL("BEGIN");
    SQL("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)");
    SQL("CREATE TABLE ledger (id INTEGER PRIMARY KEY, source INTEGER, target INTEGER, amount INTEGER, note TEXT)");
    SQL("CREATE INDEX by_target ON ledger (target, amount)");
    for (account = 0; account < ACCOUNTS; account++) {
        char *text = sqlite3_mprintf("INSERT INTO account VALUES (%d, %d)", account, OPENING);
        SQL(text);
        sqlite3_free(text);
    }
    SQL("COMMIT");
}

/* What a campaign wants to know of each transaction, once that is over. */
static void account_for(int number) {
    HOLDS(number_of("SELECT coalesce(max(id), 0) FROM ledger") == number - is_rolled_back(number));
    HOLDS(number_of("SELECT sum(balance) FROM account") == ACCOUNTS * OPENING);
    score[SCORE_OPERATIONS]++;
    score[SCORE_ROUNDS]++;
    MUST(usleep(CAMPAIGN_PAUSE_US) == 0);
}

static void work(int first, int last) {
    sqlite3_stmt *move = prepare("UPDATE account SET balance = balance + ?2 WHERE id = ?1");
    sqlite3_stmt *note = prepare("INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5)");
    int number;

    for (number = first; number <= last; number++) {
        SQL("BEGIN");
        sqlite3_bind_int(move, 1, from_account(number));
        sqlite3_bind_int(move, 2, -amount(number));
        run(move);
        sqlite3_bind_int(move, 1, to_account(number));
        sqlite3_bind_int(move, 2, amount(number));
        run(move);
        sqlite3_bind_int(note, 1, number);
        sqlite3_bind_int(note, 2, from_account(number));
        sqlite3_bind_int(note, 3, to_account(number));
        sqlite3_bind_int(note, 4, amount(number));
        sqlite3_bind_text(note, 5, payload(number), payload_length(number), SQLITE_STATIC);
        run(note);
        if (is_rolled_back(number))
            SQL("ROLLBACK");
        else
            SQL("COMMIT");
        if (score) {
            account_for(number);
        } else if (number % 50 == 0) {
            HOLDS(number_of("SELECT sum(balance) FROM account") == ACCOUNTS * OPENING);
            say("%d transactions", number);
        }
    }
    MUST(sqlite3_finalize(move) == SQLITE_OK && sqlite3_finalize(note) == SQLITE_OK);
}

/* Reads all of it again, through a new connection, which has nothing cached. */
static void check(int transactions) {
    sqlite3_stmt *lines, *integrity;
    int number = 0;

    MUST(sqlite3_close(bank) == SQLITE_OK);
    MUST(sqlite3_open_v2(DATABASE, &bank, SQLITE_OPEN_READONLY, 0) == SQLITE_OK);
    integrity = prepare("PRAGMA integrity_check");
    MUST(sqlite3_step(integrity) == SQLITE_ROW);
    if (!score)
        say("integrity_check %s", sqlite3_column_text(integrity, 0));
    HOLDS(strcmp((const char *)sqlite3_column_text(integrity, 0), "ok") == 0);
    MUST(sqlite3_finalize(integrity) == SQLITE_OK);
    lines = prepare("SELECT id, source, target, amount, note FROM ledger ORDER BY id");
    while (sqlite3_step(lines) == SQLITE_ROW) {
        number += 1 + is_rolled_back(number + 1);
        HOLDS(sqlite3_column_int(lines, 0) == number);
        HOLDS(sqlite3_column_int(lines, 1) == from_account(number));
        HOLDS(sqlite3_column_int(lines, 2) == to_account(number));
        HOLDS(sqlite3_column_int(lines, 3) == amount(number));
        HOLDS(sqlite3_column_bytes(lines, 4) == payload_length(number));
        HOLDS(memcmp(sqlite3_column_text(lines, 4), payload(number), (size_t)payload_length(number)) == 0);
    }
    MUST(sqlite3_finalize(lines) == SQLITE_OK);
    HOLDS(number + is_rolled_back(number + 1) == transactions);
    HOLDS(number_of("SELECT sum(balance) FROM account") == ACCOUNTS * OPENING);
    if (!score)
        say("transactions=%d rows=%lld sqlite=%s", transactions, number_of("SELECT count(*) FROM ledger"),
            sqlite3_libversion());
    MUST(sqlite3_close(bank) == SQLITE_OK);
    bank = 0;
    /* No journal is left. */
    MUST(access(DATABASE "-journal", F_OK) == -1 && errno == ENOENT);
}

static void notify_fs(void) { kintsugi_notify((unsigned)kintsugi_channel("fs")); }
static void wait_fs(void) { kintsugi_wait((unsigned)kintsugi_channel("fs")); }
static void notify_timer(void) { kintsugi_notify((unsigned)kintsugi_channel("timer")); }
static void wait_timer(void) { kintsugi_wait((unsigned)kintsugi_channel("timer")); }

static void connect(void) {
    struct kintsugi_files files = {.notify = notify_fs, .wait = wait_fs};
    struct kintsugi_time time = {.ticks = kintsugi_ticks, .notify = notify_timer, .wait = wait_timer};

    MUST(kintsugi_region("app_sqlite_to_fs_requests", &files.requests) == 0);
    MUST(kintsugi_region("fs_to_app_sqlite_completions", &files.completions) == 0);
    MUST(kintsugi_region("app_sqlite_to_fs_data", &files.output) == 0);
    MUST(kintsugi_region("fs_to_app_sqlite_data", &files.input) == 0);
    MUST(kintsugi_files_attach(&files) == 0);
    MUST(kintsugi_region("timer_clock", &time.clock) == 0);
    MUST(kintsugi_region("app_sqlite_to_timer_timers", &time.timers) == 0);
    MUST(kintsugi_region("timer_to_app_sqlite_firings", &time.firings) == 0);
    while (kintsugi_time_attach(&time) != 0) {
        MUST(errno == EAGAIN);
        wait_timer();
    }
}

/* Goes on until the machine is switched off. */
_Noreturn static void campaign(void) {
    int last;

    score[SCORE_LIVES]++;
    for (;;) {
        set_up();
        for (last = CAMPAIGN_STRETCH; last <= CAMPAIGN_TRANSACTIONS; last += CAMPAIGN_STRETCH) {
            work(last - CAMPAIGN_STRETCH + 1, last);
            check(last);
            open_bank();
        }
        MUST(sqlite3_close(bank) == SQLITE_OK);
        bank = 0;
    }
}

int main(void) {
    struct kintsugi_region settings, score_page;
    int transactions = TRANSACTIONS_DEFAULT;

    if (kintsugi_region("app_sqlite_settings", &settings) == 0)
        transactions = (int)*(volatile const uint32_t *)settings.start;
    if (kintsugi_region("app_sqlite_to_injector_score", &score_page) == 0)
        score = score_page.start;
    connect();
    while (access(OTHER_IS_READY, F_OK) != 0)
        MUST(errno == ENOENT && usleep(10000) == 0);
    if (score)
        campaign();
    set_up();
    work(1, transactions);
    check(transactions);
    end("PASS app_sqlite");
}
