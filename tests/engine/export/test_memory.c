#include "engine/export/export.h"
#include "engine/findings/diagnostics.h"
#include "engine/findings/heat.h"
#include "engine/profile/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every allocation fails once, alone or with all that follow: nothing may crash, leak or lie. The
 * linker sends the allocations of the rooms here (--wrap). */

static uint64_t allocations, fail_at, requested_bytes;
static bool fail_on;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails(void)
{
    allocations++;
    return fail_at > 0 && (fail_on ? allocations >= fail_at : allocations == fail_at);
}

void *__wrap_malloc(size_t size)
{
    requested_bytes += size;
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    requested_bytes += count * size;
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    requested_bytes += size;
    return fails() ? NULL : __real_realloc(memory, size);
}

static const struct bsk_exporter *const exporters[] = {
    &bsk_export_speedscope, &bsk_export_cpuprofile,  &bsk_export_flamegraph,
    &bsk_export_raw,        &bsk_export_chrometrace, &bsk_export_pprof,
};

static void ignore(const struct bsk_hot_file *file, void *user)
{
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer };
    bsk_diagnostics_write(user, file, &json);
    bsk_buffer_free(&buffer);
}

/* What a recording does with a profile, from its first stack to its files. */
static void live(FILE *file)
{
    struct bsk_profile *profile = bsk_profile_new(64);
    if (!profile)
        return;
    uint64_t given_ns = 0, seed = 1;
    for (uint32_t i = 0; i < 600; i++) {
        struct bsk_profile_frame frames[6];
        char name[16];
        uint32_t track = bsk_profile_track(profile, 1, (pid_t)(i % 3), "app.py", "t");
        for (uint32_t d = 0; d < 6; d++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            snprintf(name, sizeof(name), "f%u", (unsigned)(seed >> 60));
            frames[d].function =
                bsk_profile_function(profile, name, "/srv/app.py", 1, BSK_FUNCTION_PYTHON);
            frames[d].line = 1 + (uint32_t)(seed >> 40) % 5;
        }
        uint32_t node = bsk_profile_stack(profile, track, frames, 6);
        bsk_profile_add(profile, node, i * 1000000ULL, 1000000, 1000, 1);
        given_ns += node == BSK_NO_NODE ? 0 : 1000;
    }
    assert_int_equal(bsk_profile_cpu_ns(profile), given_ns);
    assert_int_equal(given_ns<600000, fail_at> 0 && bsk_profile_lost(profile) > 0 &&
                     given_ns != 600000);
    struct bsk_profile *clone = bsk_profile_clone(profile);
    struct bsk_totals *totals = clone ? bsk_totals_new(clone) : NULL;
    struct bsk_heat *heat = totals ? bsk_heat_new(totals, NULL) : NULL;
    struct bsk_source_cache *cache = bsk_source_cache_new();
    if (heat)
        bsk_heat_changes(NULL, heat, ignore, cache);
    if (clone) {
        assert_int_equal(bsk_profile_cpu_ns(clone), given_ns);
        for (size_t i = 0; i < sizeof(exporters) / sizeof(exporters[0]); i++) {
            struct bsk_error err = { 0 };
            int rc = exporters[i]->write(clone, file, &err);
            assert_true(rc == BSK_OK || rc == BSK_E_MEMORY);
        }
    }
    bsk_source_cache_free(cache);
    bsk_heat_free(heat);
    bsk_totals_free(totals);
    bsk_profile_free(clone);
    bsk_profile_free(profile);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    FILE *file = fopen("/dev/null", "we");
    assert_non_null(file);
    static char buffer[4096];
    setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    allocations = fail_at = 0;
    live(file);
    uint64_t count = allocations;
    print_message("  %u allocations\n", (unsigned)count);
    assert_true(count > 50);
    for (int all = 0; all < 2; all++) {
        fail_on = all;
        for (uint64_t i = 1; i <= count; i++) {
            fail_at = i;
            allocations = 0;
            live(file);
        }
    }
    fail_at = 0;
    fclose(file);
}

/* Seventy distinct stacks, the timeline at its ceiling or far past it: as much memory. */
static void memory_does_not_grow_with_the_recording(void **state)
{
    (void)state;
    FILE *file = fopen("/dev/null", "we");
    assert_non_null(file);
    uint64_t bytes[2][sizeof(exporters) / sizeof(exporters[0])];
    fail_at = 0;
    for (int length = 0; length < 2; length++) {
        struct bsk_profile *profile = bsk_profile_new(64);
        uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "t");
        for (uint32_t i = 0; i < (length ? 200000U : 2000U); i++) {
            uint32_t f = bsk_profile_function(profile, i % 7 < 3 ? "f" : "g", "/srv/app.py", i % 7,
                                              BSK_FUNCTION_PYTHON);
            const struct bsk_profile_frame frames[] = { { f, 1 + i % 10 }, { f, 2 } };
            bsk_profile_add(profile, bsk_profile_stack(profile, track, frames, 2), i * 1000000ULL,
                            1000000, 1000000, 1);
        }
        for (size_t e = 0; e < sizeof(exporters) / sizeof(exporters[0]); e++) {
            requested_bytes = 0;
            assert_int_equal(exporters[e]->write(profile, file, NULL), BSK_OK);
            bytes[length][e] = requested_bytes;
        }
        bsk_profile_free(profile);
    }
    for (size_t e = 0; e < sizeof(exporters) / sizeof(exporters[0]); e++) {
        print_message("  %-11s %6u bytes, then %6u\n", exporters[e]->name, (unsigned)bytes[0][e],
                      (unsigned)bytes[1][e]);
        assert_true(bytes[1][e] <= bytes[0][e] + bytes[0][e] / 2);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_recording),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
