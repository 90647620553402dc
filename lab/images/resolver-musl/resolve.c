/* resolve NAME...: prints "NAME ADDRESS" for each name by getaddrinfo; exit status 1 if any has none.
 * Built before the image, as the one file it contains:
 *   musl-gcc -static -Os -o resolve resolve.c      (Debian: musl-tools)
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
		int error = getaddrinfo(argv[i], NULL, &hints, &found);

		if (error) {
			fprintf(stderr, "%s: %s\n", argv[i], gai_strerror(error));
			failed = 1;
			continue;
		}
		char address[INET_ADDRSTRLEN];
		inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, address, sizeof address);
		printf("%s %s\n", argv[i], address);
		freeaddrinfo(found);
	}
	return failed;
}
