/* A consumer in protocol `lines`, in C. What has been read is answered before it is waited for
 * more: stdio would keep the answers, so it reads and writes by itself. */

#include <string.h>
#include <unistd.h>

int main(void) {
  static char in[65536], out[65536 * 4];
  for (;;) {
    ssize_t got = read(0, in, sizeof in);
    if (got <= 0) return 0;
    size_t said = 0;
    for (char *at = in, *end; (end = memchr(at, '\n', (size_t)(in + got - at))); at = end + 1) {
      memcpy(out + said, "ack\n", 4);
      said += 4;
    }
    for (size_t done = 0; done < said;) {
      ssize_t wrote = write(1, out + done, said - done);
      if (wrote < 0) return 1;
      done += (size_t)wrote;
    }
  }
}
