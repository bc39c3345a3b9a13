/* Runs the statements of a derived loop: the inner loops of NumPy, called one after another for every time step.

   It computes nothing itself but copies. What is called, and where the arrays lie, `binding.py` writes down. */

#include <stdint.h>
#include <string.h>

typedef void (*Loop)(char **arrays, const intptr_t *sizes, const intptr_t *strides, void *data);

typedef struct {
    Loop loop;           /* of a ufunc for one type, or one of the two below */
    void *data;          /* which it is called with */
    intptr_t arrays;     /* how many it takes, its result included: at most four */
    char *first[4];      /* where they lie at step 0 */
    intptr_t by_step[4]; /* how many bytes further on at each step */
    intptr_t sizes[6];   /* of the loop: the inner axis, or batch and axes of a product; the two axes outside it */
    intptr_t strides[9]; /* of the loop, in bytes */
    intptr_t outer[8];   /* the strides of the two axes outside the loop */
} Call;

#define OUTSIDE 4 /* where the sizes of the axes outside begin */

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
    for (intptr_t j = 0; j < c->sizes[OUTSIDE + 1]; j++)
        for (intptr_t i = 0; i < c->sizes[OUTSIDE]; i++) {
            char *at[4];
            for (int k = 0; k < c->arrays; k++)
                at[k] = c->first[k] + t * c->by_step[k] + i * c->outer[k] + j * c->outer[4 + k];
            c->loop(at, c->sizes, c->strides, c->data);
        }
}

/* Steps from `first` on in the direction `by`, as long as they are not `end`; there are `turns` lists of calls, of
   which each step takes the next: as many as there are arrays that are used by turns. */
void run(const Call *calls, intptr_t count, intptr_t turns, intptr_t first, intptr_t end, intptr_t by) {
    for (intptr_t t = first; t != end; t += by) {
        const Call *turn = calls + (t % turns) * count;
        for (const Call *c = turn; c < turn + count; c++) run_one(c, t);
    }
}
