/* What reading one dump of references costs: bench_graph FILE [TYPE]. The file is what
 * engine/memory/scripts/references.py writes (tests/bench/bench_graph.py makes one). */
#include "engine/memory/graph.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* CPU time: a busy machine does not change it much. */
static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    struct stat status;
    int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &status) != 0) {
        fprintf(stderr, "usage: bench_graph FILE [TYPE]\n");
        return 2;
    }
    unsigned char *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return 1;
    for (int round = 0; round < 3; round++) {
        struct bsk_graph *graph = NULL;
        struct bsk_error err = { 0 };
        double begin = cpu_ms();
        int rc = bsk_graph_read(bytes, (size_t)status.st_size, &graph, &err);
        double end = cpu_ms();
        if (rc < 0) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        struct bsk_graph_facts facts;
        bsk_graph_facts(graph, &facts);
        printf("graph: %u nodes (%u tracked), %" PRIu64 " edges, %" PRIu64
               " lost, %u left out, %u cycles: %.0f ms of CPU\n",
               facts.nodes, facts.tracked, facts.edges, facts.lost, facts.left_out, facts.cycles,
               end - begin);
        bsk_graph_free(graph);
    }
    munmap(bytes, (size_t)status.st_size);
    return 0;
}
