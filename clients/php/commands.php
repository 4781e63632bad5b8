<?php
// Reads what a test tells a program, line by line, and answers; see program_test.go.

// serve calls incr, pipeline, transaction and get of the client; each but get yields numbers.
function serve(string $version, object $client): void
{
    echo $version, "\n";
    while (($line = fgets(STDIN)) !== false) {
        $words = explode(' ', trim($line));
        $verb = array_shift($words);
        try {
            foreach ($client->$verb(...$words) as $number) {
                echo $number, "\n";
            }
            echo ".\n";
        } catch (Exception $error) {
            echo '! ', get_class($error), ' ', preg_replace('/\s+/', ' ', $error->getMessage()), "\n";
        }
    }
}
