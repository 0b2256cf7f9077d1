/* What starting a program costs by itself: COUNT times, with one pipe to its stdin as any consumer
 * needs it, by fork and exec (`fork`) or by posix_spawn (`spawn`). Prints nanoseconds for each. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static pid_t by_fork(char **command, int in) {
  pid_t pid = fork();
  if (pid == 0) {
    dup2(in, 0);
    execvp(command[0], command);
    _exit(127);
  }
  return pid;
}

static pid_t by_spawn(char **command, int in) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  pid_t pid = -1;
  if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0) pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: bare fork|spawn COUNT COMMAND...\n");
    return 2;
  }
  int count = atoi(argv[2]), status;
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < count; i++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return 1;
    pid_t pid = strcmp(argv[1], "fork") == 0 ? by_fork(argv + 3, ends[0]) : by_spawn(argv + 3, ends[0]);
    if (pid < 0) return 1;
    close(ends[0]);
    close(ends[1]);
    waitpid(pid, &status, 0);
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("%.0f\n", ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / count);
}
