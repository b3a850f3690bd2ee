# A batch norm in Perl and its player: `bnproof check "exec:perl batch_norm.pl"`.
use v5.26;
use warnings;
use experimental 'signatures';
use JSON::PP;
use List::Util qw(product sum0);
use MIME::Base64;

$| = 1;    # an answer is sent when it is written

sub values_of ($array) { return [unpack 'd<*', decode_base64($array->{data})] }

sub array ($values, $shape) { return {dtype => 'float64', shape => $shape, data => encode_base64(pack('d<*', @$values), '')} }

sub layer ($setup) { return {%$setup, map { $_ => values_of($setup->{$_}) } qw(gamma beta moving_mean moving_var)} }

sub run ($layer, $step) {
    my $training = $step->{op} eq 'train';
    my ($x, $dy, $shape) = (values_of($step->{x}), values_of($step->{dy}), $step->{x}{shape});
    my ($channels, $inner) = ($shape->[1], product(@$shape[2 .. $#$shape]));
    my $n = @$x / $channels;
    die "one value per channel has no variance\n" if $training && $n == 1;
    my (@y, @dx, @dgamma, @dbeta);
    for my $c (0 .. $channels - 1) {
        my @places = map { my $i = $_; map { ($i * $channels + $c) * $inner + $_ } 0 .. $inner - 1 } 0 .. $shape->[0] - 1;
        my $mean = $training ? sum0(@$x[@places]) / $n : $layer->{moving_mean}[$c];
        my $var = $training ? sum0(map { ($_ - $mean)**2 } @$x[@places]) / $n : $layer->{moving_var}[$c];
        my $std = sqrt($var + $layer->{eps});
        my %normal = map { $_ => ($x->[$_] - $mean) / $std } @places;
        $dbeta[$c] = sum0(@$dy[@places]);
        $dgamma[$c] = sum0(map { $dy->[$_] * $normal{$_} } @places);
        for my $i (@places) {
            $y[$i] = $layer->{gamma}[$c] * $normal{$i} + $layer->{beta}[$c];
            my $through = $training ? ($dbeta[$c] + $normal{$i} * $dgamma[$c]) / $n : 0;
            $dx[$i] = $layer->{gamma}[$c] * ($dy->[$i] - $through) / $std;
        }
        next unless $training;
        my ($keep, $new) = (1 - $layer->{momentum}, $layer->{momentum});
        $layer->{moving_mean}[$c] = $keep * $layer->{moving_mean}[$c] + $new * $mean;
        $layer->{moving_var}[$c] = $keep * $layer->{moving_var}[$c] + $new * $var * $n / ($n - 1);
    }
    my %per_channel = (dgamma => \@dgamma, dbeta => \@dbeta, map { $_ => $layer->{$_} } qw(moving_mean moving_var));
    return {y => array(\@y, $shape), dx => array(\@dx, $shape), map { $_ => array($per_channel{$_}, [$channels]) } keys %per_channel};
}

sub play_step ($layers, $step) {
    return {unsupported => "no $step->{op} here"} unless $step->{op} =~ /^(train|eval)$/;
    return eval { {values => run($layers->[$step->{session}], $step)} } // {error => $@};
}

my %implementation = (name => 'plain-perl', version => '1', language => "Perl $^V", conventions => 'torch', dtypes => ['float64']);
while (my $request = <STDIN>) {
    $request = decode_json($request);
    last if $request->{cmd} eq 'stop';
    my @layers = map { layer($_) } @{$request->{setups} // []};
    my $steps = [map { play_step(\@layers, $_) } @{$request->{steps} // []}];
    say encode_json($request->{cmd} eq 'start' ? {ok => JSON::PP::true, implementation => \%implementation} : {seq => $request->{seq}, steps => $steps});
}
