# A batch norm in Perl and its player: `bnproof check "exec:perl batch_norm.pl"`.
use strict;
use warnings;
use JSON::PP;
use List::Util qw(sum0);
use MIME::Base64;

$| = 1;    # an answer is sent when it is written

sub values_of { my ($array) = @_; return [unpack 'd<*', decode_base64($array->{data})] }

sub array { my ($values, $shape) = @_; return {dtype => 'float64', shape => $shape, data => encode_base64(pack('d<*', @$values), '')} }

sub layer {
    my ($setup) = @_;
    my %layer = map { $_ => values_of($setup->{$_}) } qw(gamma beta moving_mean moving_var);
    return {%layer, eps => $setup->{eps}, momentum => $setup->{momentum}};
}

sub run {
    my ($layer, $step) = @_;
    my $training = $step->{op} eq 'train';
    my ($x, $dy, $shape) = (values_of($step->{x}), values_of($step->{dy}), $step->{x}{shape});
    my $channels = $shape->[1];
    my $inner = 1;
    $inner *= $_ for @$shape[2 .. $#$shape];
    my $n = @$x / $channels;
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
        $layer->{moving_var}[$c] = $keep * $layer->{moving_var}[$c] + $new * $var * ($n > 1 ? $n / ($n - 1) : 1);
    }
    my $per = [$channels];
    return {y => array(\@y, $shape), dx => array(\@dx, $shape), dgamma => array(\@dgamma, $per), dbeta => array(\@dbeta, $per),
        moving_mean => array($layer->{moving_mean}, $per), moving_var => array($layer->{moving_var}, $per)};
}

sub play_step {
    my ($layers, $step) = @_;
    my $single = $step->{op} eq 'train' && !grep { $_ > 1 } @{$step->{x}{shape}}[0, 2 .. $#{$step->{x}{shape}}];
    return {error => 'one value per channel has no variance'} if $single;
    return {unsupported => "no $step->{op} here"} unless $step->{op} =~ /^(train|eval)$/;
    my $values = eval { run($layers->[$step->{session}], $step) };
    return $values ? {values => $values} : {error => "$@"};
}

my %implementation = (name => 'plain-perl', version => '1', language => "Perl $^V", conventions => 'torch', dtypes => ['float64']);
while (my $line = <STDIN>) {
    my $request = decode_json($line);
    last if $request->{cmd} eq 'stop';
    my $answer = {ok => JSON::PP::true, wire => 1, implementation => \%implementation};
    if ($request->{cmd} eq 'play') {
        my @layers = map { layer($_) } @{$request->{setups}};
        $answer = {seq => $request->{seq}, steps => [map { play_step(\@layers, $_) } @{$request->{steps}}]};
    }
    print encode_json($answer), "\n";
}
