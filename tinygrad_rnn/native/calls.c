/* Runs the statements of a derived loop: the inner loops of NumPy, called one after another for every time step.

   It computes nothing itself but copies. What is called, and where the arrays lie, is written down in Python
   (`bptt/native/binding.py`). Large steps are shared by two threads, each of which has a list of its own. */

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

typedef void (*Loop)(char **arrays, const intptr_t *sizes, const intptr_t *strides, void *data);

typedef struct {
    Loop loop;           /* of a ufunc for one type, or one of the two below; none, if there is nothing to do */
    void *data;          /* which it is called with */
    intptr_t arrays;     /* how many it takes, its result included: at most four */
    char *first[4];      /* where they lie at step 0 */
    intptr_t by_step[4]; /* how many bytes further on at each step */
    intptr_t sizes[6];   /* of the loop: the inner axis, or stack and axes of a product; the two axes outside it */
    intptr_t strides[9]; /* of the loop, in bytes */
    intptr_t outer[8];   /* the strides of the two axes outside the loop */
    intptr_t waits;      /* whether the two threads meet before it */
} Call;

/* What Python compares with its own idea of a call, lest it uses a library that was compiled from an older text. */
intptr_t bytes_of_a_call(void) { return sizeof(Call); }

#define OUTSIDE 4 /* where the sizes of the axes outside begin */

typedef struct {
    const Call *calls;
    intptr_t count, turns, first, end, by;
} Steps;

void copy(char **arrays, const intptr_t *sizes, const intptr_t *strides, void *data) {
    char *from = arrays[0], *to = arrays[1];
    intptr_t bytes = (intptr_t)data;
    if (strides[0] == bytes && strides[1] == bytes)
        memcpy(to, from, sizes[0] * bytes);
    else
        for (intptr_t i = 0; i < sizes[0]; i++, from += strides[0], to += strides[1]) memcpy(to, from, bytes);
}

void choose(char **arrays, const intptr_t *sizes, const intptr_t *strides, void *data) {
    char *from = arrays[0], *where = arrays[1], *to = arrays[2];
    intptr_t bytes = (intptr_t)data;
    for (intptr_t i = 0; i < sizes[0]; i++, from += strides[0], where += strides[1], to += strides[2])
        if (*where) memcpy(to, from, bytes);
}

static void run_one(const Call *c, intptr_t t) {
    if (!c->loop) return;
    for (intptr_t j = 0; j < c->sizes[OUTSIDE + 1]; j++)
        for (intptr_t i = 0; i < c->sizes[OUTSIDE]; i++) {
            char *at[4];
            for (int k = 0; k < c->arrays; k++)
                at[k] = c->first[k] + t * c->by_step[k] + i * c->outer[k] + j * c->outer[4 + k];
            c->loop(at, c->sizes, c->strides, c->data);
        }
}

/* The calls of step `t`: there are `turns` lists of them, as many as there are arrays that are used by turns. */
static const Call *calls_of(const Steps *s, intptr_t t) { return s->calls + (t % s->turns) * s->count; }

/* Steps from `first` on in the direction `by`, as long as they are not `end`. */
void run(const Call *calls, intptr_t count, intptr_t turns, intptr_t first, intptr_t end, intptr_t by) {
    Steps s = {calls, count, turns, first, end, by};
    for (intptr_t t = first; t != end; t += by) {
        const Call *of = calls_of(&s, t);
        for (intptr_t i = 0; i < count; i++) run_one(of + i, t);
    }
}

/* --- two threads: the one that calls, and a helper that waits for work ------------------------------------- */

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() sched_yield()
#endif

#define LOOKS 2000     /* before somebody who waits lets others have the processor: a tenth of a millisecond */
#define PATIENCE 20000 /* looks of a helper without work, before it sleeps: a step of training has several loops */

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER, sleeping = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_is_there = PTHREAD_COND_INITIALIZER;
static _Atomic long asked, answered, met, arrived;
static int helper_runs;
static Steps for_helper;
static fenv_t computes_so; /* how the one that calls rounds, and what it does with denormal numbers */

static int become(_Atomic long *counter, long value, long looks) {
    for (long n = 0; n < looks; n++) {
        if (atomic_load_explicit(counter, memory_order_acquire) == value) return 1;
        PAUSE();
    }
    return 0;
}

static void await(_Atomic long *counter, long value) {
    while (!become(counter, value, LOOKS)) sched_yield();
}

static void meet(void) {
    long next = atomic_load_explicit(&met, memory_order_relaxed) + 1;
    if (atomic_fetch_add_explicit(&arrived, 1, memory_order_acq_rel) == 1) {
        atomic_store_explicit(&arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&met, next, memory_order_release);
    } else
        await(&met, next);
}

static void run_beside(const Steps *s) {
    for (intptr_t t = s->first; t != s->end; t += s->by) {
        const Call *of = calls_of(s, t);
        for (intptr_t i = 0; i < s->count; i++) {
            if (of[i].waits) meet();
            run_one(of + i, t);
        }
    }
}

static void *help(void *nothing) {
    for (long number = 1;; number++) {
        if (!become(&asked, number, PATIENCE)) {
            pthread_mutex_lock(&sleeping);
            while (atomic_load(&asked) != number) pthread_cond_wait(&work_is_there, &sleeping);
            pthread_mutex_unlock(&sleeping);
        }
        fesetenv(&computes_so);
        run_beside(&for_helper);
        atomic_store_explicit(&answered, number, memory_order_release);
    }
    return nothing;
}

static void forget(void) { /* in a process that was forked there is no helper, and nobody holds a lock */
    pthread_mutex_init(&one_at_a_time, 0);
    pthread_mutex_init(&sleeping, 0);
    pthread_cond_init(&work_is_there, 0);
    atomic_store(&asked, 0), atomic_store(&answered, 0), atomic_store(&met, 0), atomic_store(&arrived, 0);
    helper_runs = 0;
}

static int there_is_help(void) {
    static int told;
    pthread_t thread;
    if (!told) told = !pthread_atfork(0, 0, forget);
    if (!helper_runs && !pthread_create(&thread, 0, help, 0)) pthread_detach(thread), helper_runs = 1;
    return helper_runs;
}

/* As `run`, shared with the helper, which has the calls `others`; both lists are as long, and meet at the same calls. */
void share(const Call *calls, const Call *others, intptr_t count, intptr_t turns, intptr_t first, intptr_t end,
           intptr_t by) {
    Steps mine = {calls, count, turns, first, end, by}, theirs = {others, count, turns, first, end, by};
    pthread_mutex_lock(&one_at_a_time);
    if (there_is_help()) {
        for_helper = theirs;
        fegetenv(&computes_so);
        pthread_mutex_lock(&sleeping);
        long number = atomic_load(&asked) + 1;
        atomic_store(&asked, number);
        pthread_cond_signal(&work_is_there);
        pthread_mutex_unlock(&sleeping);
        run_beside(&mine);
        await(&answered, number);
    } else
        for (intptr_t t = first; t != end; t += by)
            for (intptr_t i = 0; i < count; i++) run_one(calls_of(&mine, t) + i, t), run_one(calls_of(&theirs, t) + i, t);
    pthread_mutex_unlock(&one_at_a_time);
}
